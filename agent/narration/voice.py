"""The chat's language model: opened when it first has to speak, or none with the embedded tier."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent.narration.changes import ChangeReader
from agent.narration.narrator import Narration, Written, narrate
from agent.narration.scene import Scene
from agent.narration.sight import MapReader
from core.errors import TelltaleError
from models.chat.tiers import Tier, open_chat

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from agent.rules.measurable import Looker

log = logging.getLogger(__name__)


class Voice:
    """The model behind one tier. It never raises because of the model: what goes wrong is in the narration's `failure`.

    >>> Voice(Tier.parse("embedded")).speaks
    False
    """

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._model: BaseChatModel | None = None
        self._maps, self._changes = MapReader(), ChangeReader()

    @property
    def speaks(self) -> bool:
        """Whether there is a language model at all."""
        return self.tier.kind != "embedded"

    @property
    def name(self) -> str:
        """The tier as it was asked for."""
        return str(self.tier)

    def narrate(self, scene: Scene, written: Written) -> Narration:
        """The model's checked answer.

        Raises:
            BudgetExceeded: `written` stopped it.
        """
        try:
            model = self.model()
        except TelltaleError as error:
            log.warning("%s cannot be opened: %s", self.name, error)
            return Narration(failure=" ".join(str(error).split()).rstrip("."))
        return narrate(self._changes.before(self._maps.before(model, scene), scene), scene, written=written)

    def model(self) -> BaseChatModel:
        """The model, opened once.

        Raises:
            UserError: it cannot be opened; the message says what to do.
        """
        if self._model is None:
            self._model = open_chat(self.tier)
        assert self._model is not None, "the embedded tier has no model"
        return self._model

    def reader(self) -> BaseChatModel | None:
        """The model, to read a definition with; None when there is none or it cannot be opened: then fixed rules read."""
        if not self.speaks:
            return None
        try:
            return self.model()
        except TelltaleError as error:
            log.warning("%s cannot be opened: %s", self.name, error)
            return None

    def looker(self) -> Looker | None:
        """The model as one that is shown pictures, for what rules cannot measure; a script's replies are not spent on that."""
        from agent.rules.looker import ChatLooker

        model = self.reader() if self.tier.kind in ("local", "endpoint") else None
        return None if model is None else ChatLooker(model)
