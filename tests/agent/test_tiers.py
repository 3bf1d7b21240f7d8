"""The whole chat on every model tier: the same verdicts and findings, whoever plans what is run and words the answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from asking import SAMPLES
from openai_loopback import Loopback, deltas, say, silent
from tier_models import CALL, CONTEXT, PLANS_NOTHING, build_local
from tiny_vlm import build_qwen

from agent.model_planner import REPAIRS
from agent.reply import Progress, Reply, StepDone, StepStarted, TurnEvent
from agent.session import Session
from agent.verify import check_sentence, cited_ids
from tools.video.relations import clip_relations

MAIN = "what is wrong here, when, and how bad?"
CONVERSATION = (MAIN, "which one is the worst?", "thanks!", "what's the weather tomorrow?")
WORDED = 2
"""So many questions of the conversation, the first ones, are answered from evidence, so a model plans and words them."""
KINDS = ("image", "series", "events", "video")
TIERS = ("scripted", "local", "endpoint")
LIE = "The score is 123456.7 [E2]."
NO_JUDGE = "I cannot say how bad it is."
EVERY, RATE = 10, Fraction(3, 2)


def clip(path: Path) -> Path:
    """The bundled video with every tenth frame: a fraction of the work."""
    import av

    with av.open(str(SAMPLES / "crossing.mp4")) as whole, av.open(str(path), "w") as part:
        video = whole.streams.video[0]
        out = part.add_stream("libx264", rate=RATE)
        out.width, out.height, out.pix_fmt = video.width, video.height, "yuv420p"
        for number, frame in enumerate(whole.decode(video)):
            if number % EVERY == 0:
                frame.pts, frame.time_base = number // EVERY, 1 / RATE
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
        build_local(folder / "tiny")
        self._held: dict[tuple[str, str], list[tuple[Reply, list[TurnEvent]]]] = {}

    def open(self, tier: str, *script: object, plan: object = None) -> Session:
        """A new chat; `script` is what a scripted model says, or the steps of the server, and `plan` its first answer to a planner."""
        if tier == "scripted":
            path = self.folder / f"script{len(list(self.folder.glob('script*')))}.yaml"
            replies = [r if isinstance(r, dict) else {"text": r} for r in script]
            path.write_text(yaml.safe_dump({"replies": [*([plan] if plan else []), PLANS_NOTHING, *replies]}))
            return Session(home=self.home, model=f"scripted:{path}")
        if tier == "endpoint":
            self.server.http.steps[:] = [step if callable(step) else say(str(step)) for step in script]
            self.server.http.plans = [plan] if callable(plan) else []
            return Session(home=self.home, model=f"endpoint:eyes@{self.server.url}")
        return Session(home=self.home, model=f"local:{self.folder / 'tiny'}" if tier == "local" else "embedded")

    def held(self, tier: str, kind: str) -> list[tuple[Reply, list[TurnEvent]]]:
        """Replies and steps of the conversation; a scripted model and the server say something true and something false."""
        if (tier, kind) not in self._held:
            plan = {"scripted": {"tool_calls": [CALL]}, "endpoint": say(calls=[CALL])}.get(tier)
            judge = [NO_JUDGE] * (kind in ("image", "video"))  # asked once, and no further
            script = [] if tier == "embedded" else [*judge, *[f"{self.true(kind)} {LIE}", LIE, LIE] * WORDED]
            session = self.open(tier, *script, plan=plan)
            given: Any = [{"files": [self.files[kind]]}, *[{}] * (len(CONVERSATION) - 1)]
            self._held[tier, kind] = [ask(session, q, **g) for q, g in zip(CONVERSATION, given, strict=True)]
            session.close()
        return self._held[tier, kind]

    def true(self, kind: str) -> str:
        """A sentence that holds: the first that fixed rules say of a finding."""
        lines = self.conversation("embedded", kind)[0].answer.splitlines()
        return next(line.removeprefix("- ") for line in lines if line.startswith("- ") and len(cited_ids(line)) == 1)

    def conversation(self, tier: str, kind: str) -> list[Reply]:
        """The replies alone."""
        return [reply for reply, _ in self.held(tier, kind)]


def ask(session: Session, question: str, **given: Any) -> tuple[Reply, list[TurnEvent]]:
    *events, reply = session.ask(question, **given)
    assert isinstance(reply, Reply)
    return reply, events


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    followed: dict[str, Any] = {}

    def once(video: Any) -> Any:
        if video.name not in followed:
            followed[video.name] = clip_relations(video)
        return followed[video.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.video.relations.clip_relations", once)  # it is the same in every chat, and takes seconds
        for name in ("TELLTALE_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        made = Tiers(tmp_path_factory.mktemp("tiers"))
        yield made
        made.server.__exit__()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", ["embedded", *TIERS])
def test_every_model_plans_and_embedded_does_not(tiers: Tiers, tier: str, kind: str) -> None:
    for number, (_, events) in enumerate(tiers.held(tier, kind)):
        steps = {event.key: event for event in events if isinstance(event, StepDone)}
        plans = [step for key, step in steps.items() if key.startswith("plan:")]
        if tier == "embedded" or number >= WORDED:
            assert not plans
            continue
        if number and tier != "local":
            assert [step.detail.split(";")[0] for step in plans] == ["nothing more is needed"]
            continue
        assert plans[0].ok
        assert plans[0].title.startswith(f"Planning with {tier}:")
        assert plans[0].detail.startswith(f"look_up on {tiers.files[kind].name} “what happened at 0:10?”; first token after")
        assert any(key.startswith("look_up:0") for key in steps)
        if tier == "local":  # a parrot: what it repeats is refused, and after some repairs it is not asked again
            assert [step.ok for step in plans] == [True] * (1 + REPAIRS) + [False]
            assert "called before" in plans[1].detail
            assert plans[-1].detail.endswith("fixed rules plan this")
        else:
            assert [step.ok for step in plans] == [True, True]


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
        assert (tiers.true(kind) in reply.answer) == worded
        assert (LIE in reply.removed) == worded
        assert LIE not in reply.answer


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_leaves_the_answer_to_the_rules_and_says_why(tiers: Tiers, kind: str) -> None:
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
    session = tiers.open(tier, BROKEN[tier], tiers.true("series"))
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
    assert tiers.true("series") in again.answer


SLOW: dict[str, Callable[[], tuple[str, object]]] = {
    "scripted": lambda: ("scripted", {"text": "spike " * 200, "pace_s": 0.1}),
    "endpoint": lambda: ("endpoint", say(["spike "] * 200, pace_s=0.1)),
    "endpoint that is silent": lambda: ("endpoint", silent(60)),
    "local": lambda: ("local", None),
}


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model, which never ends by itself."""
    folder = tmp_path_factory.mktemp("endless")
    build_qwen(folder, context=CONTEXT)
    return folder


@pytest.mark.parametrize("phase", ["plan:1", "narrate"])
@pytest.mark.parametrize("slow", SLOW)
def test_a_model_that_is_stopped_ends_the_turn_at_once(tiers: Tiers, endless: Path, slow: str, phase: str) -> None:
    tier, step = SLOW[slow]()
    planning = phase != "narrate"
    if tier == "local":
        session = Session(home=tiers.home, model=f"local:{endless}")
        if not planning:
            session._conversation.voice._model = _content_with_the_plan(session._conversation.voice.model())
    else:
        session = tiers.open(tier, *([] if planning else [step]), tiers.true("series"), plan=step if planning else None)
    stopped, reply = 0.0, None
    for event in session.ask(MAIN, files=[tiers.files["series"]]):
        begun = isinstance(event, StepStarted) if "silent" in slow else isinstance(event, Progress)
        if begun and not stopped and getattr(event, "key", "") == phase:
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


def _content_with_the_plan(model: Any) -> Any:
    """The same model, which has nothing to plan."""
    from models.chat.scripted import scripted

    class Planned(type(model)):  # type: ignore[misc]
        def bind_tools(self, *given: Any, **options: Any) -> Any:
            return scripted("done").bind_tools(*given, **options)

    return Planned.model_construct(**model.__dict__)


def test_a_server_that_is_not_there_is_tried_once_a_turn_and_costs_no_time(tiers: Tiers) -> None:
    gone = Loopback()
    with gone:
        url = gone.url
    session = Session(home=tiers.home, model=f"endpoint:eyes@{url}")
    started = time.monotonic()
    for number, (question, rules) in enumerate(zip(CONVERSATION, tiers.conversation("embedded", "series"), strict=True)):
        reply, events = ask(session, question, files=[] if number else [tiers.files["series"]])
        assert (reply.status, reply.anomalies) == (rules.status, rules.anomalies)
        told = [e.detail for e in events if isinstance(e, StepDone) and not e.ok]
        assert all("cannot be reached" in detail for detail in told)
        assert len(told) == (2 if number < WORDED else 0)  # the plan, and the answer for the same reason
    assert time.monotonic() - started < 5
    session.close()
