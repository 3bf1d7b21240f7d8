"""The check must catch every kind of wrong claim, and let every right one through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telling.words import moment, name, number
from agent.verify import check_sentence, cited_ids, claims_of, keep_supported
from core.evidence import Evidence, Interval, Whole


def evidence(**facts: object) -> Evidence:
    return Evidence(id="E1", tool="window_pca", version="1", parameters={}, source="pump.csv", locus=Whole(sample="pump.csv"),
                    score=3.14159, threshold=2.5, facts=facts)  # type: ignore[arg-type]  # fmt: skip


def holds(text: str, **facts: object) -> bool:
    return check_sentence(text, {"E1": evidence(**facts)}).holds


@pytest.mark.parametrize(
    "text",
    [
        "The score is 3.1 [E1].", "The score is 3.14 against 2.5 [E1].", "It has 48,210 rows [E1].", "That is 12 % [E1].",
        "At 1:15 it starts [E1].", "On 2026-03-07 10:50:00 it starts [E1].", "`pump.csv` is odd [E1].", "Nothing is claimed here.",
        "`vibration` is to blame [E1].", "From 0:10 to 1:15 [E1].",
    ],
)  # fmt: skip
def test_right_claims_hold(text: str) -> None:
    assert holds(
        text, rows=48210, share=0.12, start_s=10.0, end_s=75.2, epoch_s=1772880525.0, moment_s=75.0, channels=["vibration"]
    )


@pytest.mark.parametrize(
    "text",
    [
        "The score is 3.2 [E1].", "It has 48,211 rows [E1].", "That is 13 % [E1].", "At 1:18 it starts [E1].",
        "On 2026-03-07 10:50:09 it starts [E1].", "`tank.csv` is odd [E1].", "The score is 3.1.", "The score is 3.1 [E9].",
        "`temperature` is to blame [E1].", "It happened 7 times [E1].",
    ],
)  # fmt: skip
def test_wrong_claims_fail(text: str) -> None:
    assert not holds(
        text, rows=48210, share=0.12, start_s=10.0, end_s=75.2, epoch_s=1772880525.0, moment_s=75.0, channels=["vibration"]
    )


def test_a_number_inside_a_name_does_not_support_a_number() -> None:
    assert not holds("There are 4 of them [E1].", name="tile_04.jpg")


def test_a_claim_needs_the_right_citation() -> None:
    other = Evidence(id="E2", tool="t", version="1", parameters={}, source="b", locus=Whole(sample="b"), score=7.0)
    known = {"E1": evidence(), "E2": other}
    assert check_sentence("The score is 7 [E2].", known).holds
    assert check_sentence("The score is 7 [E1, E2].", known).holds
    assert not check_sentence("The score is 7 [E1].", known).holds


@given(st.floats(min_value=1e-4, max_value=1e9, allow_nan=False))
def test_every_printed_number_is_found_again(value: float) -> None:
    assert holds(f"The value is {number(value)} [E1].", value=value)


@given(st.floats(min_value=0, max_value=90_000), st.sampled_from(["elapsed", "clock", "index"]))
def test_every_printed_time_is_found_again(seconds: float, base: str) -> None:
    text = moment(seconds, base=base, epoch_s=1_772_880_525.25)
    assert holds(f"It starts at {text} [E1].", start_s=seconds, epoch_s=1_772_880_525.25 if base == "clock" else None)


@given(st.floats(min_value=1, max_value=5_000), st.floats(min_value=3, max_value=500))
def test_a_shifted_time_is_caught(seconds: float, shift: float) -> None:
    assert not holds(f"It starts at {moment(seconds + shift)} [E1].", start_s=seconds)


@given(st.text(min_size=1, max_size=60).filter(lambda t: t.strip() and "`" not in t))
def test_every_quoted_name_is_found_again(text: str) -> None:
    assert holds(f"{name(text)} is odd [E1].", name=text)


@given(st.text(max_size=200))
def test_any_text_can_be_checked(text: str) -> None:
    list(claims_of(text))
    cited_ids(text)
    check_sentence(text, {"E1": evidence()})


def test_unsupported_lines_are_split_off() -> None:
    kept, failed = keep_supported(["The score is 3.1 [E1].", "The score is 9 [E1]."], {"E1": evidence()})
    assert kept == ["The score is 3.1 [E1]."]
    assert failed[0].problems == ("'9' is not in E1",)


def test_interval_times_count() -> None:
    e = Evidence(
        id="E1", tool="t", version="1", parameters={}, source="a", locus=Interval(sample="a", start_s=4, end_s=8.5, peak_s=6)
    )
    assert check_sentence("From 0:04 to 0:08.5, strongest at 0:06 [E1].", {"E1": e}).holds
    assert not check_sentence("From 0:04 to 0:15 [E1].", {"E1": e}).holds
