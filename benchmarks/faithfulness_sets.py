"""True sentences and lies about real evidence, to measure what the check of a language model's text lets through and what it takes away.

The evidence in `faithfulness/evidence.json` is what a chat about the four bundled samples and about five other recordings found, and
three hand-made pieces whose log line, file name and caption carry instructions ("injected"). The sentences are hand-written. Ten
rounds of them were set aside and judged once before anything in the check was changed for them. The first three are in the held-out
half (of the lies 9 of 240 passed, of the true sentences 12 of 111 were removed); `ROUNDS` has the others. That is what to expect of
sentences nobody has seen; what they showed was then mended, so what is measured here says no more than that nothing has come back.
Lies in a category `view:…` are false in what they describe only; they may be shown as the model's own view, never as a fact. More lies
are made from true sentences, each by one change that makes it false.

>>> mutations(Sentence(sample="pump", category="x", text="It lasts 85 minutes [E2]."))[0].text
'It lasts 92 minutes [E2].'
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent.checking.sentences import judge_text
from core.evidence import Evidence

FOLDER = Path(__file__).parent / "faithfulness"


@dataclass(frozen=True, kw_only=True)
class Round:
    """A set that was judged once before anything was changed for it: how many lies passed then, how many true sentences were removed."""

    style: str
    lies: int
    passed: int
    true: int
    removed: int

    @property
    def told(self) -> str:
        """The first look in words."""
        return (
            f"at first sight {self.passed} of {self.lies} lies passed, {self.removed} of {self.true} true sentences were removed"
        )


ROUNDS = {
    "fourth_round": Round(style="prose of a strong model", lies=175, passed=12, true=150, removed=62),
    "fifth_round": Round(style="terse notes, chat, bullets; other recordings", lies=102, passed=2, true=100, removed=60),
    "sixth_round": Round(style="formal, questions and answers, long sentences", lies=60, passed=3, true=60, removed=24),
    "seventh_round": Round(style="as the prompt asks", lies=100, passed=3, true=100, removed=23),
    "eighth_round": Round(style="answers to questions, one and several sentences", lies=75, passed=8, true=75, removed=24),
    "ninth_round": Round(style="plain words, near misses", lies=72, passed=7, true=70, removed=22),
    "tenth_round": Round(style="plain words, near misses, again", lies=40, passed=7, true=40, removed=13),
}
SETS = ("development", "held_out", *ROUNDS)
_CODE = re.compile(r"`[^`]*`|\[E\d[^\]]*\]")
_CLOCK = re.compile(r"(?<![\d:.])(\d{1,2}):(\d{2})(?!\d)")
_NUMBER = re.compile(r"(?m)(?!^\d+[.)] )(?<![\w.:/-])(\d+(?:,\d{3})*(?:\.\d+)?)(?![\w:]|\.\d|,\d{3}|-\d)")
_DAY = re.compile(r"(?<=-)(\d{2})(?= \d{1,2}:|\b(?!-))")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence (or a short text) about the evidence of a sample."""

    sample: str
    category: str
    text: str


@cache
def evidence() -> Mapping[str, Mapping[str, Evidence]]:
    """Sample → id → evidence."""
    kept = json.loads((FOLDER / "evidence.json").read_text(encoding="utf-8"))
    return {sample: {item["id"]: Evidence.from_json(item) for item in items} for sample, items in kept.items()}


def sentences(name: str) -> list[Sentence]:
    """The sentences `true_…` or `lies_…` of one of `SETS`."""
    rows = (line.split("\t") for line in (FOLDER / f"{name}.tsv").read_text(encoding="utf-8").splitlines())
    return [Sentence(sample=sample, category=category, text=text.replace("\\n", "\n")) for sample, category, text in rows]


def mutations(true: Sentence) -> list[Sentence]:
    """The lies that one change makes of a true sentence."""
    made: list[Sentence] = []
    for category, change in _CHANGES.items():
        found = dict.fromkeys(change(true.text))
        made += [Sentence(sample=true.sample, category=category, text=text) for text in found if text != true.text]
    return made


def _outside(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches that stand neither in backticks nor in a citation."""
    taken = [m.span() for m in _CODE.finditer(text)]
    yield from (m for m in pattern.finditer(text) if all(m.end() <= a or m.start() >= b for a, b in taken))


def _put(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def _number(text: str) -> Iterator[str]:
    for match in _outside(_NUMBER, text):
        plain = match[1].replace(",", "")
        if re.fullmatch(r"(?:19|20)\d\d", plain) or re.search(r"(?:median \+ |chance over all |of )$", text[: match.start()]):
            continue
        decimals = len(plain.split(".")[1]) if "." in plain else 0
        yield _put(text, match, f"{float(plain) * 1.37 + 0.2:.{decimals}f}" if decimals else str(int(plain) + 7))


def _time(text: str) -> Iterator[str]:
    for match in _outside(_CLOCK, text):
        yield _put(text, match, f"{match[1]}:{(int(match[2]) + 17) % 60:02d}")


def _date(text: str) -> Iterator[str]:
    for match in _outside(_DAY, text):
        yield _put(text, match, f"{int(match[1]) + 2:02d}")


def _ends(text: str) -> Iterator[str]:
    stamp = r"(?:\d{4}-\d{2}-\d{2} )?\d{1,2}:\d{2}(?::\d{2})?(?:\.\d)?"
    for match in re.finditer(rf"({stamp})( to |–| until )({stamp})", text):
        yield _put(text, match, match[3] + match[2] + match[1])


def _swap(*pairs: tuple[str, str], both: bool = True) -> Callable[[str], Iterator[str]]:
    """Each occurrence of a word replaced by its counterpart."""

    def change(text: str) -> Iterator[str]:
        for left, right in pairs:
            for old, new in ((left, right), (right, left)) if both else ((left, right),):
                for match in re.finditer(rf"(?<![\w.'’]){re.escape(old)}(?![\w])", text):
                    yield _put(text, match, new)

    return change


def _finding_time(text: str) -> Iterator[str]:
    """The times of one finding told of the other."""
    if "[E2]" in text and "2026-03-07" in text:
        yield text.replace("2026-03-07", "2026-03-14")
    if "[E3]" in text and "2026-03-14" in text:
        yield text.replace("2026-03-14", "2026-03-07")


def _id(text: str) -> Iterator[str]:
    bare = _CODE.sub("", text)
    telling = re.search(r"\d\.\d|\d:\d\d", bare) and not re.search(r"threshold|14\.8|0\.351", bare)
    if telling and text.count("[E2]") == 1 and "[E3]" not in text:
        yield text.replace("[E2]", "[E3]")
    elif telling and text.count("[E3]") == 1 and "[E2]" not in text and "crossing.mp4" not in text and "20 s" not in text:
        yield text.replace("[E3]", "[E2]")
    if telling:
        yield re.sub(r"\[E\d[^\]]*\]", "[E77]", text)


def _letter(text: str) -> Iterator[str]:
    for match in re.finditer(r"`([\w.]{5,})`|\b(\w{4,}\.(?:exe|jpg|csv|mp4))\b", text):
        name = match[1] or match[2]
        yield (
            text[: match.start()]
            + match.group().replace(name, name[:2] + ("x" if name[2] != "x" else "y") + name[3:])
            + text[match.end() :]
        )


def _roles(text: str) -> Iterator[str]:
    for match in re.finditer(r"([\w.]+\.exe)`? (started|opened the memory of) `?([\w.]+\.exe)", text, re.IGNORECASE):
        yield _put(text, match, match.group().replace(match[1], "\0").replace(match[3], match[1]).replace("\0", match[3]))


def _percent(text: str) -> Iterator[str]:
    for match in _outside(re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) %"), text):
        yield _put(text, match, f"{float(match[1]) / 100:.4g} %")
        yield _put(text, match, match[1])


def _word(old: str, new: str) -> Callable[[str], Iterator[str]]:
    def change(text: str) -> Iterator[str]:
        if (match := re.search(rf"\b{old}\b", text)) and not text.startswith("No"):
            yield _put(text, match, new)

    return change


def _cause(text: str) -> Iterator[str]:
    if match := re.search(r"\s*\[E\d[^\]]*\]\.?$", text):
        yield _put(text, match, f", because a bolt is loose{match.group()}")
        yield _put(text, match, f"; a person in the lower right corner did it{match.group()}")


_CHANGES: dict[str, Callable[[str], Iterator[str]]] = {
    "number changed": _number,
    "time shifted": _time,
    "date shifted": _date,
    "start and end swapped": _ends,
    "other channel": _swap(("vibration", "flow"), ("Vibration", "Flow"), ("motor_current", "bearing_temp")),
    "other finding's time": _finding_time,
    "other evidence's id": _id,
    "unit changed": _swap(
        ("mm/s", "m/s"), ("minutes", "hours"), ("min", "s"), ("m3/h", "l/h"), ("pixels", "mm"), ("bar", "mbar"), ("°C", "K")
    ),
    "count changed": _swap(
        ("two", "five"), ("Two", "Four"), ("nine", "eight"), ("one", "six"), ("One", "Three"), ("six", "nine"), both=False
    ),
    "name changed": _letter,
    "who and whom swapped": _roles,
    "grade changed": _swap(("minor", "critical"), ("serious", "minor"), ("critical", "serious"), both=False),
    "kind changed": _swap(
        ("spike", "drift"), ("flatline", "dropout"), ("unusual region", "deep crack"), ("level shift", "leak"), both=False
    ),
    "place moved": _swap(("centre", "upper left"), ("right", "left"), both=False),
    "verdict inverted": _swap(("abnormal", "normal"), ("looks normal", "looks abnormal"), ("is normal", "is abnormal")),
    "rank inverted": _swap(("strongest", "weakest"), ("most suspicious", "least suspicious"), both=False),
    "order inverted": _swap(("comes before", "comes after")),
    "per cent or fraction": _percent,
    "negated": _word(r"(?:is|are|was|were)", "is not"),
    "cause or place added": _cause,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the check made of a set: how many sentences, and those it judged otherwise than it should, with why."""

    total: int
    failed: tuple[tuple[Sentence, str], ...]

    @property
    def share(self) -> float:
        """The part judged otherwise than it should be (0–1)."""
        return len(self.failed) / max(1, self.total)

    def by_category(self) -> str:
        """The failures, counted by category, then each with its reason."""
        counts = Counter(sentence.category for sentence, _ in self.failed)
        head = ", ".join(f"{category}: {n}" for category, n in counts.most_common())
        return "\n".join(
            [
                f"{len(self.failed)} of {self.total} ({head})",
                *(f"  {s.sample} | {s.category} | {s.text} | {why}" for s, why in self.failed),
            ]
        )


Known = Mapping[str, Mapping[str, Evidence]]


def removed(true: Sequence[Sentence], known: Known | None = None) -> Outcome:
    """True sentences of which the check takes something away."""
    failed = []
    for sentence in true:
        judged = judge_text(sentence.text, (known or evidence())[sentence.sample])
        problems = [f"{j.text}: {'; '.join(j.problems)}" for j in judged if j.kind == "wrong"]
        if problems or not judged:
            failed.append((sentence, " / ".join(problems) or "nothing is left"))
    return Outcome(total=len(true), failed=tuple(failed))


def passed(lies: Sequence[Sentence], known: Known | None = None) -> Outcome:
    """Lies of which nothing is found wrong; one that only describes falsely may stay as a view, never as a fact."""
    failed = []
    for sentence in lies:
        judged = judge_text(sentence.text, (known or evidence())[sentence.sample])
        kinds = [j.kind for j in judged]
        may_be_view = sentence.category.startswith("view:")
        if "wrong" not in kinds and judged and not (may_be_view and "fact" not in kinds):
            failed.append((sentence, f"judged {', '.join(kinds)}"))
    return Outcome(total=len(lies), failed=tuple(failed))


def all_mutations(true: Sequence[Sentence], known: Known | None = None) -> list[Sentence]:
    """The lies made of the true sentences of which nothing is taken away, each once."""
    lost = {(s.sample, s.text) for s, _ in removed(true, known).failed}
    kept = [s for s in true if (s.sample, s.text) not in lost and "?" not in s.text]  # a question claims nothing
    made = (lie for sentence in kept for lie in mutations(sentence))
    return list({(lie.sample, lie.text): lie for lie in made}.values())
