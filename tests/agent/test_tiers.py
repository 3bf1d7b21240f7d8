"""The whole chat on every model tier: the same conversation has the same verdicts and findings, whoever words the answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from asking import SAMPLES

from agent.narration import voice
from agent.reply import Progress, Reply, StepDone, StepStarted, TurnEvent
from agent.session import Session
from agent.verify import check_sentence, cited_ids
from models.chat.tiers import open_chat

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("chat", "unit")]

from openai_loopback import Loopback, deltas, say, silent
from tiny_vlm import build_qwen

MAIN = "what is wrong here, when, and how bad?"
CONVERSATION = (MAIN, "which one is the worst?", "thanks!", "what's the weather tomorrow?")
WORDED = 2
"""So many questions of the conversation, the first ones, are answered from evidence, so a model words them."""
KINDS = ("image", "series", "events", "video")
TIERS = ("scripted", "local", "endpoint")
TRUE = {
    "image": "`tile_07.jpg` has an unusual region, 8.52 % of the picture [E2].",
    "series": "A spike in `vibration` starts at 2026-03-07 10:20:00 [E2].",
    "events": "`WINWORD.EXE` started `powershell.exe` [E2].",
    "video": "It is unusual motion and appearance [E2].",
}
"""A sentence in the words of the evidence, for every kind of sample."""
LIE = "The score is 123456.7 [E2]."
FEW_TOKENS = 24
EVERY, RATE = 5, 3


def clip(path: Path) -> Path:
    """The bundled video with every fifth frame: a fraction of the work."""
    import av

    with av.open(str(SAMPLES / "crossing.mp4")) as whole, av.open(str(path), "w") as part:
        video = whole.streams.video[0]
        out = part.add_stream("libx264", rate=RATE)
        out.width, out.height, out.pix_fmt = video.width, video.height, "yuv420p"
        for number, frame in enumerate(whole.decode(video)):
            if number % EVERY == 0:
                frame.pts, frame.time_base = number // EVERY, Fraction(1, RATE)
                part.mux(out.encode(frame))
        part.mux(out.encode())
    return path


class Tiers:
    """Sessions on every tier over one home, so that the detectors run once; each conversation is held once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.server = Loopback().__enter__()
        self.files = {
            "image": SAMPLES / "tiles", "series": SAMPLES / "pump.csv", "events": SAMPLES / "workstation.jsonl",
            "video": clip(folder / "crossing.mp4"),
        }  # fmt: skip
        build_qwen(folder / "tiny", context=16_384)
        self._held: dict[tuple[str, str], list[Reply]] = {}

    def open(self, tier: str, *script: object) -> Session:
        """A new chat; `script` is what a scripted model says, or the steps of the server."""
        if tier == "scripted":
            path = self.folder / f"script{len(list(self.folder.glob('script*')))}.yaml"
            path.write_text(yaml.safe_dump({"replies": [r if isinstance(r, dict) else {"text": r} for r in script]}))
            return Session(home=self.home, model=f"scripted:{path}")
        if tier == "endpoint":
            self.server.http.steps[:] = [step if callable(step) else say(str(step)) for step in script]
            return Session(home=self.home, model=f"endpoint:eyes@{self.server.url}")
        return Session(home=self.home, model=f"local:{self.folder / 'tiny'}" if tier == "local" else "embedded")

    def conversation(self, tier: str, kind: str) -> list[Reply]:
        """The replies of the conversation; a scripted model and the server say something true and something false."""
        if (tier, kind) not in self._held:
            session = self.open(tier, *[f"{TRUE[kind]} {LIE}", LIE, LIE] * WORDED)
            given: Any = [{"files": [self.files[kind]]}, *[{}] * (len(CONVERSATION) - 1)]
            self._held[tier, kind] = [ask(session, q, **g)[0] for q, g in zip(CONVERSATION, given, strict=True)]
            session.close()
        return self._held[tier, kind]


def ask(session: Session, question: str, **given: Any) -> tuple[Reply, list[TurnEvent]]:
    *events, reply = session.ask(question, **given)
    assert isinstance(reply, Reply)
    return reply, events


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    def few(tier: Any) -> Any:
        return open_chat(tier, max_tokens=FEW_TOKENS, max_context=8192) if tier.kind == "local" else open_chat(tier)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voice, "open_chat", few)  # a random model never ends by itself
        for name in ("TELLTALE_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        made = Tiers(tmp_path_factory.mktemp("tiers"))
        yield made
        made.server.__exit__()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_has_the_same_verdicts_and_findings(tiers: Tiers, tier: str, kind: str) -> None:
    embedded, worded = tiers.conversation("embedded", kind), tiers.conversation(tier, kind)
    assert embedded[0].status == "abnormal"
    assert [r.status for r in worded] == [r.status for r in embedded]
    assert [r.anomalies for r in worded] == [r.anomalies for r in embedded]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", ["embedded", *TIERS])
def test_every_cited_claim_of_every_tier_resolves(tiers: Tiers, tier: str, kind: str) -> None:
    for question, reply in zip(CONVERSATION, tiers.conversation(tier, kind), strict=True):
        known = {e.id: e for e in reply.evidence}
        assert set(cited_ids(reply.answer)) <= set(known), question
        for line in reply.answer.splitlines():
            if cited_ids(line):
                check = check_sentence(line, known)
                assert check.holds, (question, line, check.problems)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", ["scripted", "endpoint"])
def test_what_a_model_says_is_kept_where_it_is_true_and_removed_where_not(tiers: Tiers, tier: str, kind: str) -> None:
    for number, reply in enumerate(tiers.conversation(tier, kind)):
        worded = number < WORDED
        assert reply.model.startswith(tier if worded else "embedded")
        assert (TRUE[kind] in reply.answer) == worded
        assert (LIE in reply.removed) == worded
        assert LIE not in reply.answer


@pytest.mark.parametrize("kind", KINDS)
def test_gibberish_leaves_the_answer_to_the_rules_and_says_why(tiers: Tiers, kind: str) -> None:
    for number, (rules, reply) in enumerate(
        zip(tiers.conversation("embedded", kind), tiers.conversation("local", kind), strict=True)
    ):
        assert reply.model == "embedded"
        assert plain(reply) == plain(rules)
        assert reply.answer.count("so fixed rules wrote this") == (number < WORDED)


def plain(reply: Reply) -> list[str]:
    """What an answer says; how it was found, in italics, is not told again of a result that was kept."""
    return [line for line in reply.answer.splitlines() if line and not line.startswith("_")]


BROKEN: dict[str, object] = {
    "scripted": {"text": "A spike in", "error": "the connection was lost."},
    "endpoint": deltas({"content": "A spike in"}, clean=False),
}


@pytest.mark.parametrize("tier", BROKEN)
def test_a_failure_in_mid_sentence_falls_back_and_says_so(tiers: Tiers, tier: str) -> None:
    session = tiers.open(tier, BROKEN[tier], TRUE["series"])
    reply, events = ask(session, MAIN, files=[tiers.files["series"]])
    assert (reply.status, reply.anomalies) == (
        tiers.conversation("embedded", "series")[0].status,
        tiers.conversation("embedded", "series")[0].anomalies,
    )
    assert reply.model == "embedded"
    assert f"{tier}:" in reply.answer
    assert "so fixed rules wrote this" in reply.answer
    assert [e.ok for e in events if isinstance(e, StepDone) and e.key == "narrate"] == [False]
    again, _ = ask(session, MAIN)
    session.close()
    assert again.model.startswith(tier)
    assert TRUE["series"] in again.answer


SLOW: dict[str, Callable[[], tuple[str, object]]] = {
    "scripted": lambda: ("scripted", {"text": "spike " * 200, "pace_s": 0.1}),
    "endpoint": lambda: ("endpoint", say(["spike "] * 200, pace_s=0.1)),
    "endpoint that is silent": lambda: ("endpoint", silent(60)),
    "local": lambda: ("local", None),
}


@pytest.mark.parametrize("slow", SLOW)
def test_a_model_that_is_stopped_ends_the_turn_at_once(tiers: Tiers, slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "open_chat", open_chat)  # as many tokens as it may
    tier, step = SLOW[slow]()
    session = tiers.open(tier, step, TRUE["series"])
    stopped, reply = 0.0, None
    for event in session.ask(MAIN, files=[tiers.files["series"]]):
        begun = isinstance(event, StepStarted) if "silent" in slow else isinstance(event, Progress)
        if begun and not stopped and getattr(event, "key", "") == "narrate":
            time.sleep(0.5 if "silent" in slow else 0.0)
            session.stop()
            stopped = time.monotonic()
        reply = event
    assert stopped
    assert time.monotonic() - stopped < 3
    assert isinstance(reply, Reply)
    assert reply.model == "embedded"
    assert "you stopped it" in reply.answer
    assert reply.anomalies == tiers.conversation("embedded", "series")[0].anomalies
    assert not session.pending()
    session.close()
    if tier == "endpoint":
        assert tiers.server.requests[-1].hung_up.wait(5)
