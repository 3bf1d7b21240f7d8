"""Who and what to show: the most suspicious actors with their telling events, and chains of steps in plain words.

Names come from files, so they are cleaned before they are shown. `rows` are 1-based file rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.scores import EntityScore, PathScore
from tools.events import lineage, wording

if TYPE_CHECKING:
    import polars as pl

ROWS_PER_ENTITY = 8

_REACHING: frozenset[wording.Deed] = frozenset(
    {"connect", "accept", "write", "delete", "registry_set", "registry_delete", "service", "task", "driver", "tamper", "login",
     "pipe_create", "other"}
)  # fmt: skip
"""Deeds with an effect outside the process; opening some process is not one (every parent opens its children)."""


class Teller:
    """Turns numbers about one log into entities and paths.

    Events (N,) of `table` have `actors`, the distinct act each is (`acts`), and how odd they are in themselves (`own`); `total` (A,)
    ranks the actors.
    """

    def __init__(
        self,
        table: pl.DataFrame,
        actors: lineage.Actors,
        acts: NDArray[np.int64],
        own: NDArray[np.float64],
        total: NDArray[np.float64],
    ) -> None:
        self._table = table
        self._actors = actors
        self._acts = acts
        self._own = own
        self._total = total
        order = np.argsort(actors.of_event, kind="stable")
        self._by_actor = order
        self._starts = np.searchsorted(actors.of_event[order], np.arange(actors.count + 1))
        made = np.flatnonzero(actors.target >= 0)
        self._making = dict(zip(actors.target[made][::-1].tolist(), made[::-1].tolist(), strict=True))
        self._several_hosts = "host" in table.columns and table["host"].n_unique() > 1
        self._names: dict[int, str] = {}
        self._taken: dict[str, int] = {}

    def events_of(self, actor: int) -> NDArray[np.int64]:
        """Indices of the events the actor did, in table order."""
        return self._by_actor[self._starts[actor] : self._starts[actor + 1]]

    def name(self, actor: int) -> str:
        """What to call an actor: its program, told apart by process number or order of appearance, and host when there are several."""
        if actor not in self._names:
            events = self.events_of(actor)
            table, made = self._table, self._making.get(actor)
            index = int(events[0]) if len(events) else int(made if made is not None else 0)
            text = wording.clean(self._program(actor), 120) or "(no name)"
            where = wording.clean(str(table["host"][index] or ""), 40) if self._several_hosts else ""
            text = f"{text} on {where}" if where and where.lower() not in text.lower() else text
            number = next((c for c in ("attr:subj_pid", "attr:pid", "attr:ProcessId") if c in table.columns), None)
            if number and len(events) and str(table[number][index] or "").isdigit():
                text = f"{text} (pid {table[number][index]})"
            seen = self._taken.get(text, 0) + 1
            self._taken[text] = seen
            self._names[actor] = text if seen == 1 else f"{text} #{seen}"
        return self._names[actor]

    def _program(self, actor: int) -> str:
        """The actor's name as the log gives it: as a subject if it did anything, else as it was made."""
        events = self.events_of(actor)
        made = self._making.get(actor)
        if len(events):
            return str(self._table["subject"][int(events[0])] or "")
        return str(self._table["object"][made] or "") if made is not None else ""

    def entities(self, most: int) -> tuple[EntityScore, ...]:
        """The most suspicious actors, best first, each with the rows of its most surprising distinct acts in time order."""
        rows = self._table["row"]
        ranked = np.argsort(-self._total, kind="stable")[:most].tolist()
        found = []
        for actor in ranked:
            events = self.events_of(actor)
            telling = self._telling(events)
            made = self._making.get(actor)
            shown = sorted({*telling[:ROWS_PER_ENTITY], *([made] if made is not None else [])})
            found.append(
                EntityScore(
                    entity=self.name(actor),
                    score=float(self._total[actor]),
                    rows=tuple(int(rows[i]) for i in shown),
                    n_events=len(events),
                )
            )
        return tuple(found)

    def endings(self, most: int) -> NDArray[np.int64]:
        """Per actor (A,): the event to end a chain with, for the `most` highest ranked actors that have one; −1 for others."""
        reaching, secrets = self._outward()
        ending = np.full(self._actors.count, -1, np.int64)
        for actor in np.argsort(-self._total, kind="stable")[:most].tolist():
            events = self.events_of(actor)
            # reading the memory that holds log-on secrets tells more than anything else
            for chosen in (events[secrets[events]], events[reaching[events]]):
                if len(chosen):
                    ending[actor] = chosen[np.argmax(self._own[chosen])]
                    break
        return ending

    def paths(self, chains: Sequence[lineage.Chain]) -> tuple[PathScore, ...]:
        """Chains with names, rows and each step in words."""
        rows = self._table["row"]
        return tuple(
            PathScore(
                score=chain.score,
                entities=tuple(self.name(a) for a in chain.actors),
                rows=tuple(int(rows[i]) for i in chain.events),
                steps=tuple(self.words(i) for i in chain.events),
            )
            for chain in chains
        )

    def words(self, event: int) -> str:
        """One event as a plain sentence."""
        table = self._table
        value = {
            c: str(table[c][event] or "") if c in table.columns else ""
            for c in ("operation", "subject", "object", "detail", "object_type")
        }
        made = int(self._actors.target[event])
        if made >= 0 and "unknown process" in value["object"]:
            # the recorder did not know the name, but the process itself appears under it
            value["object"] = self._program(made)
        return wording.step(
            value["operation"], value["subject"], value["object"], value["detail"], value["object_type"], limit=wording.FULL
        )

    def _telling(self, events: NDArray[np.int64]) -> list[int]:
        """An actor's events, most surprising first, each distinct act once."""
        if len(events) == 0:
            return []
        units = self._acts[events]
        order = np.lexsort((events, -self._own[events]))
        first = np.sort(np.unique(units[order], return_index=True)[1])
        return [int(i) for i in events[order][first]]

    def _outward(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Masks (N,): acts with an effect outside the process, and accesses to programs that hold log-on secrets."""
        import polars as pl

        kinds = {o: wording.deed(o) for o in self._table["operation"].cast(pl.String).fill_null("").unique().to_list()}
        operation = pl.col("operation").cast(pl.String).fill_null("")
        masks = self._table.select(
            operation.is_in([o for o, kind in kinds.items() if kind in _REACHING]).alias("reaching"),
            (
                operation.is_in([o for o, kind in kinds.items() if kind == "access"])
                & pl.col("object").cast(pl.String).fill_null("").str.contains(wording.SECRETS)
            ).alias("secrets"),
        )
        free = self._actors.target < 0
        return masks["reaching"].to_numpy() & free, masks["secrets"].to_numpy() & free
