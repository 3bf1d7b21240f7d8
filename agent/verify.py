"""The check: every number, time, name and id of a sentence must be found in the evidence that the sentence cites.

A sentence cites evidence as `[E3]`. What it claims is read from its text alone, whoever wrote it (template or language model):
numbers, percentages, clock times (0:15, 14:05, 2024-03-03 14:05), and names in backticks. Each claim must equal some value of the
cited evidence at the precision it is printed with. A sentence that claims something and cites nothing fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.evidence import Evidence

CITATION = re.compile(r"\[(E\d+(?:\s*,\s*E\d+)*)\]")
QUOTED = re.compile(r"(`+)(.+?)\1", re.DOTALL)
STAMP = re.compile(r"\b(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?)?(?: UTC|Z)?")
CLOCK = re.compile(r"\b(\d{1,3}):(\d{2})(?::(\d{2}))?(\.\d+)?\b")
_SAID = re.compile(r"_(.*)_ \[(E\d+)\]", re.DOTALL)
"""A remark about the conversation itself (what could not be read, how a question was understood): its evidence is the sentence."""
_NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:[ ,]\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?%)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome for one sentence: `problems` is empty when every claim holds."""

    text: str
    cited: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


def cited_ids(text: str) -> tuple[str, ...]:
    """The evidence ids a text cites, in order, each once; what stands in backticks is quoted from a file and cites nothing.

    >>> cited_ids("Odd [E2], and `odd [E7]` again [E1, E2].")
    ('E2', 'E1')
    """
    found = [part.strip() for group in CITATION.findall(QUOTED.sub(" ", text)) for part in group.split(",")]
    return tuple(dict.fromkeys(found))


def check_sentence(text: str, evidence: Mapping[str, Evidence]) -> Check:
    """Check one sentence against the evidence it cites.

    >>> from core.evidence import Whole
    >>> e = Evidence(id="E1", tool="t", version="1", parameters={}, source="a.csv", locus=Whole(sample="a.csv"), score=0.87)
    >>> check_sentence("The score is 0.9 [E1].", {"E1": e}).holds
    True
    >>> check_sentence("The score is 0.7 [E1].", {"E1": e}).problems
    ("'0.7' is not in E1",)
    """
    remark = _SAID.fullmatch(text)
    if remark and remark[2] in evidence and evidence[remark[2]].facts.get("said") == remark[1]:
        return Check(text=text, cited=(remark[2],), problems=())
    ids = cited_ids(text)
    problems = [f"{i} does not exist" for i in ids if i not in evidence]
    known = [evidence[i] for i in ids if i in evidence]
    claims = list(claims_of(text))
    if claims and not ids:
        problems.append(f"{claims[0].text!r} is claimed without evidence")
    elif known:
        leaves = _Leaves.of(known)
        problems += [f"{claim.text!r} is not in {', '.join(ids)}" for claim in claims if not leaves.support(claim)]
    return Check(text=text, cited=ids, problems=tuple(problems))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim in a text: a quoted `name`, a `stamp` (UTC seconds), a `clock` time (seconds) or a `number`."""

    kind: str
    text: str
    value: float = 0.0
    tolerance: float = 0.0


def claims_of(text: str) -> Iterator[Claim]:
    """Read the claims of a text; citations are not claims.

    >>> [(c.kind, c.text) for c in claims_of("At 0:15 `pump.exe` used 12.5 %")]
    [('name', 'pump.exe'), ('clock', '0:15'), ('number', '12.5 %')]
    """
    for match in QUOTED.finditer(text):
        yield Claim(kind="name", text=match.group(2).strip())
    text = CITATION.sub(" ", QUOTED.sub(" ", text))
    for match in STAMP.finditer(text):
        yield stamp_claim(match)
    text = STAMP.sub(" ", text)
    for match in CLOCK.finditer(text):
        yield clock_claim(match)
    text = CLOCK.sub(" ", text)
    for match in _NUMBER.finditer(text):
        yield Claim(kind="number", text=match.group().strip())


def stamp_claim(match: re.Match[str]) -> Claim:
    """The moment a `STAMP` names; a `name` when there is no such day."""
    day, minute, second = match.groups()
    text = day + (f"T{minute}{second or ''}" if minute else "")
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return Claim(kind="name", text=match.group())
    width = 86_400.0 if not minute else 60.0 if not second else 1.0 if "." not in second else 0.001
    return Claim(kind="stamp", text=match.group(), value=moment, tolerance=width)


def clock_claim(match: re.Match[str]) -> Claim:
    """The time a `CLOCK` names, read as minutes and seconds or hours, minutes and seconds."""
    first, second, third, fraction = match.groups()
    parts = [int(first), int(second)] + ([int(third)] if third else [])
    value = 0.0
    for part in parts:
        value = 60 * value + part
    value += float(fraction or 0)
    tolerance = 1.0 if not fraction else 1.5 * 10.0 ** -(len(fraction) - 1)
    return Claim(kind="clock", text=match.group(), value=value, tolerance=tolerance)


@dataclass(frozen=True, kw_only=True)
class _Leaves:
    """All values of some evidence, flattened: numbers (times apart), strings, and the epochs times count from."""

    numbers: tuple[float, ...]
    times: tuple[float, ...]
    epochs: tuple[float, ...]
    strings: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Sequence[Evidence]) -> _Leaves:
        numbers: list[float] = []
        times: list[float] = []
        epochs: list[float] = []
        strings: list[str] = []

        def visit(value: Any, key: str) -> None:
            if isinstance(value, Mapping):
                for name, inner in value.items():
                    strings.append(str(name))
                    visit(inner, str(name))
            elif isinstance(value, list | tuple):
                for inner in value:
                    visit(inner, key)
                if value and all(isinstance(inner, str) for inner in value):
                    numbers.append(float(len(value)))
            elif isinstance(value, bool) or value is None:
                return
            elif isinstance(value, int | float):
                (epochs if key == "epoch_s" else numbers).append(float(value))
                if key.endswith("_s") or key == "did":
                    times.append(float(value))
            else:
                strings.append(str(value))

        for item in evidence:
            visit(item.to_json(), "")
        return cls(numbers=tuple(numbers), times=tuple(times), epochs=tuple(epochs or [0.0]), strings=tuple(strings))

    def support(self, claim: Claim) -> bool:
        """True when some value equals the claim at the precision it is printed with."""
        if claim.kind == "name":
            return any(_plain(claim.text) in _plain(string) for string in self.strings)
        whole = re.compile(rf"(?<!\w)(?<!\d\.){re.escape(claim.text)}(?!\d|\.\d)")
        if any(whole.search(string) for string in self.strings):
            return True
        if claim.kind == "stamp":
            # a printed stamp is the moment cut or rounded to its last digit
            return any(abs(e + t - claim.value) <= claim.tolerance or 0 <= e + t - claim.value < claim.tolerance
                       for e in self.epochs for t in (*self.times, 0.0))  # fmt: skip
        if claim.kind == "clock":
            return any(abs(t - claim.value) <= claim.tolerance for t in self.times) or any(
                abs((e + t) % 86_400 - claim.value * (60 if claim.text.count(":") == 1 else 1)) <= 60 * claim.tolerance
                for e in self.epochs for t in self.times if e
            )  # fmt: skip
        return self._number(claim.text)

    def _number(self, text: str) -> bool:
        percent = text.endswith("%")
        plain = text.rstrip("% ").replace(",", "").replace(" ", "").replace("−", "-").lstrip("+")
        token = float(plain)
        mantissa = plain.lower().split("e")[0]
        decimals = len(mantissa.split(".")[1]) if "." in mantissa else 0
        digits = max(1, len(mantissa.replace(".", "").replace("-", "").lstrip("0")))

        def equal(value: float) -> bool:
            if "e" not in plain and float(f"{value:.{decimals}f}") == token:
                return True
            return "." in mantissa or "e" in plain or abs(value) >= 1e4 if float(f"{value:.{digits}g}") == token else False

        return any(equal(value) or (percent and equal(100 * value)) for value in self.numbers)


def _plain(text: str) -> str:
    """Text without the difference between spaces, quotes and case."""
    return re.sub(r"\s+", " ", text.replace("`", "'")).strip().casefold()


def keep_supported(sentences: Sequence[str], evidence: Mapping[str, Evidence]) -> tuple[list[str], list[Check]]:
    """Split a draft into the sentences that hold and the checks of those that do not."""
    kept, failed = [], []
    for sentence in sentences:
        check = check_sentence(sentence, evidence)
        if check.holds:
            kept.append(sentence)
        else:
            failed.append(check)
    return kept, failed
