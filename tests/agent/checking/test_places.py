"""A place in a picture is no comparison: "lower left" is held against where the finding lies, and nothing else."""

from __future__ import annotations

import pytest

from agent.checking.sentences import judge_text
from core.evidence import Evidence, Interval

FACTS = {"severity": "serious", "severity_score": 47.3, "rank": 1, "findings_total": 2}


def finding(number: int, place: str, start_s: float, end_s: float) -> Evidence:
    locus = Interval(sample="yard.mp4", start_s=start_s, end_s=end_s, peak_s=start_s + 1.0)
    facts = {**FACTS, "place": place, "rank": number - 1, "start_s": start_s, "end_s": end_s, "peak_s": start_s + 1.0}
    return Evidence(id=f"E{number}", tool="frame_novelty", version="1", parameters={}, source="yard.mp4", locus=locus, score=9.0 - number,
                    threshold=5.0, facts=facts)  # type: ignore[arg-type]  # fmt: skip


EVIDENCE = {"E2": finding(2, "lower left", 12.0, 13.3), "E3": finding(3, "middle right", 13.3, 16.0)}


@pytest.mark.parametrize("text", ["It lies lower left in the picture [E2].", "It lies in the lower left corner [E2]."])
def test_a_place_is_no_comparison(text: str) -> None:
    assert [judged.kind for judged in judge_text(text, EVIDENCE, "which one is the worst?")] == ["fact"]


@pytest.mark.parametrize(
    "text",
    [
        "It lies lower right in the picture [E2].",
        "It lies lower left in the picture [E3].",
        "It is lower than the other one [E3].",
    ],
)
def test_a_wrong_place_and_what_nobody_compared_are_refused(text: str) -> None:
    assert [judged.kind for judged in judge_text(text, EVIDENCE, "which one is the worst?")] == ["wrong"]
