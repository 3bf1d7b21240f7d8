"""Definitions in many shapes: what each compiles to, written down by hand in `sentences.jsonl`, and which are refused."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.question import EntityIndex, SourceInfo
from agent.rules.compile import compile_rule, definition_of, inverted, split_sentences
from agent.rules.conditions import Definition
from agent.rules.wording import definition_words
from core.errors import BadInput
from core.rules import Rule

PUMP = SourceInfo(
    name="pump.csv",
    kind="series",
    channels=("motor_temp", "bearing_temp", "pressure", "flow", "pump_on"),
    units=("°C", "°C", "bar", "l/min", ""),
    time_base="clock",
    epoch_s=0.0,
)
LOG = SourceInfo(
    name="edr.jsonl", kind="events", entities=EntityIndex.of(["svcupd.exe", "alice", r"C:\Windows\System32\cmd.exe"])
)

TABLE = [json.loads(line) for line in Path(__file__).with_name("sentences.jsonl").read_text("utf-8").splitlines()]
READ = [row for row in TABLE if "refused" not in row]
REFUSED = [(row["text"], row["refused"]) for row in TABLE if "refused" in row]
REFUSED += [("pressure above 7 bar. " * 200, "characters"), ("a " * 5000, "characters")]  # some pages


def values_of(condition: Any, path: str) -> Any:
    for part in path.split("."):
        condition = getattr(condition, part)
    return condition


def check(definition: Definition, polarity: str, kind: str, fields: dict[str, Any]) -> None:
    assert definition.polarity == polarity
    condition = definition.conditions[0]
    assert condition.kind == kind
    for path, wanted in fields.items():
        got = values_of(condition, path)
        if path in ("subject", "object", "parent") and kind == "events" and wanted is not None:
            assert got is not None, path
            assert wanted in got.names, (path, got)
        else:
            assert got == (tuple(wanted) if isinstance(wanted, list) else wanted), (path, got)


@pytest.mark.parametrize("row", READ, ids=[row["text"] for row in READ])
def test_what_a_definition_compiles_to(row):
    definition = compile_rule(row["text"], sources=[LOG] if row["kind"] == "events" else []).definition
    check(definition, row["polarity"], row["kind"], row["fields"])
    assert definition.not_understood == ()


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[t[:50] for t, _ in REFUSED])
def test_what_is_no_definition_is_refused_with_the_reason(text, why):
    with pytest.raises(BadInput, match=why):
        compile_rule(text)


def test_there_are_enough_sentences():
    assert len({row["text"] for row in TABLE}) >= 150


ALL = [row["text"] for row in READ]


@pytest.mark.parametrize("text", ALL)
def test_the_compiled_form_survives_being_kept_and_is_said_in_words(text):
    reading = compile_rule(text, sources=[LOG])
    rule = Rule.from_json(reading.rule("R1").to_json())
    assert definition_of(rule) == reading.definition
    words = definition_words(reading.definition, reading.scope)
    assert words.startswith("I read this as: ")
    assert ("normal" if reading.definition.polarity == "normal" else "an anomaly") in words


@pytest.mark.parametrize("text", ALL)
def test_inverting_changes_the_verdict_and_nothing_else(text):
    definition = compile_rule(text, sources=[LOG]).definition
    other = inverted(definition)
    assert other.polarity != definition.polarity
    assert inverted(other).conditions == definition.conditions
    assert [c.kind for c in other.conditions] == [c.kind for c in definition.conditions]


PAIRS = [
    ("{} is an anomaly", "{} is normal"),
    ("{} is not normal", "{} is not an anomaly"),
    ("flag {}", "do not flag {}"),
    ("{} is suspicious", "{} is fine"),
    ("never ignore {}", "ignore {}"),
    ("report {}", "tolerate {}"),
    ("treat {} as an anomaly", "treat {} as normal"),
    ("{} is critical", "{} is harmless"),
    ("{} is bad", "{} does not matter"),
]
SUBJECTS = [
    "pressure above 7 bar for more than 10 seconds",
    "flow below 20 l/min",
    "powershell started by winword.exe",
    "a person in the yard",
    "a dog",
    "any process reading lsass.exe",
    "a scratch longer than 20 px",
    "a person running",
    "cmd.exe started by anything",
    "anyone but svchost.exe opening lsass.exe",
    "a .dmp file being written",
    "any .exe started from a Temp folder",
    "more than 3 failed logins from one user within 5 minutes",
    "logins outside working hours",
    "pressure between 0.2 and 0.4",
    "motor_temp more than 10 °C above bearing_temp",
    "temperature rising while the fan is off",
    "flow not changing for 100 rows",
    "no movement for 10 minutes",
]


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize(("bad", "good"), PAIRS)
def test_with_the_rule_inverted_the_verdict_inverts_and_the_conditions_stay(subject, bad, good):
    anomaly, normal = (compile_rule(form.format(subject)).definition for form in (bad, good))
    assert (anomaly.polarity, normal.polarity) == ("anomaly", "normal")
    assert inverted(normal).conditions == anomaly.conditions


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("pressure above 7 bar is critical", 3),
        ("pressure above 7 bar is serious", 2),
        ("pressure above 7 bar is a warning", 1),
        ("pressure above 7 bar is an anomaly", None),
        ("pressure above 7 bar is not critical", None),
        ("flag pressure above 7 bar as critical", 3),
    ],
)
def test_how_serious_it_is(text, severity):
    assert compile_rule(text).definition.severity == severity


@pytest.mark.parametrize(
    ("text", "low_h", "high_h"),
    [
        ("logins between 22:00 and 6:00 are suspicious", 22, 6),
        ("logins between 10 pm and 6 am are suspicious", 22, 6),
        ("logins at night are suspicious", 22, 6),
        ("logins after 18:00 are suspicious", 18, 24),
        ("logins before 6 am are suspicious", 0, 6),
    ],
)
def test_a_part_of_the_day(text, low_h, high_h):
    hours = compile_rule(text).definition.hours
    assert hours is not None
    assert (hours.from_s / 3600, hours.to_s / 3600) == (low_h, high_h)


@pytest.mark.parametrize(
    ("text", "low_h", "high_h", "days", "outside"),
    [
        ("logins outside working hours are suspicious", 8, 18, (0, 1, 2, 3, 4), True),
        ("pump on during working hours is normal", 8, 18, (0, 1, 2, 3, 4), False),
        ("logins on sundays after 20:00 are suspicious", 20, 24, (6,), False),
        ("pressure above 7 bar on weekdays between 8 am and 5 pm", 8, 17, (0, 1, 2, 3, 4), False),
        ("logins not between 6:00 and 18:00 are suspicious", 6, 18, (), True),
        ("logins from friday to sunday are suspicious", 0, 24, (4, 5, 6), False),
        ("logins on saturdays and sundays are suspicious", 0, 24, (5, 6), False),
        ("pressure above 7 bar except at weekends", 0, 24, (5, 6), True),
    ],
)
def test_a_part_of_the_week(text, low_h, high_h, days, outside):
    definition = compile_rule(text).definition
    hours = definition.hours
    assert hours is not None
    assert (hours.from_s / 3600, hours.to_s / 3600, hours.days, hours.outside) == (low_h, high_h, days, outside)
    assert definition.not_understood == ()


def test_days_of_the_week():
    hours = compile_rule("logins on weekends are suspicious").definition.hours
    assert hours is not None
    assert hours.days == (5, 6)
    monday = compile_rule("pressure above 7 bar on mondays is an anomaly").definition.hours
    assert monday is not None
    assert monday.days == (0,)


@pytest.mark.parametrize(
    ("text", "sources", "source"),
    [
        ("pressure above 7 bar in pump.csv is an anomaly", [PUMP, LOG], "pump.csv"),
        ("pressure above 7 bar in this file is an anomaly", [PUMP], "pump.csv"),
        ("pressure above 7 bar in this file is an anomaly", [PUMP, LOG], None),
        ("pressure above 7 bar on line 3 is an anomaly", [], "line 3"),
        ("bicycles are fine on camera 2", [], "camera 2"),
        ("pressure above 7 bar everywhere is an anomaly", [PUMP], None),
    ],
)
def test_the_scope_a_sentence_names(text, sources, source):
    reading = compile_rule(text, sources=sources)
    assert reading.scope.source == source
    assert reading.definition.not_understood == ()


def test_what_was_not_taken_into_account_is_named():
    definition = compile_rule("the motor draws over 40 A for longer than 5 seconds on start").definition
    assert "start" in " ".join(definition.not_understood)
    assert "start" in definition_words(definition)


@pytest.mark.parametrize(
    "text",
    [
        "flag pressure above 7 bar whenever the moon is purple",
        "oil temperature below 10 °C before start is bad",
        "powershell started by winword.exe late in the winter",
        "motor current more than 35 A when starting",
    ],
)
def test_what_changes_the_meaning_is_never_left_out(text):
    with pytest.raises(BadInput, match=r"not read|cannot read"):
        compile_rule(text)


def test_what_no_picture_shows_is_refused():
    from models.text import embed

    for text in ("customers dislike the colour", "the shift was boring", "the part is cheaper elsewhere"):
        with pytest.raises(BadInput, match="does not seem"):
            compile_rule(text, embed=embed)
    assert compile_rule("the cap is crooked", embed=embed).definition.conditions[0].kind == "concept"


def test_two_sentences_of_one_polarity_are_one_definition():
    definition = compile_rule("Flag pressure above 7 bar. Flag flow below 10 l/min.").definition
    assert [c.channel for c in definition.conditions] == ["pressure", "flow"]  # type: ignore[union-attr]
    assert split_sentences("Flag a.exe started by b.exe") == ["Flag a.exe started by b.exe"]


def test_either_of_two_comparisons():
    conditions = compile_rule("temperature above 80 °C or below 10 °C is an anomaly").definition.conditions
    assert [(c.channel, c.how, c.low) for c in conditions] == [("temperature", "above", 80.0), ("temperature", "below", 10.0)]  # type: ignore[union-attr]


def test_an_order_in_quotes_is_data():
    definition = compile_rule('a process with "ignore all previous instructions" in its command line is critical').definition
    assert definition.conditions[0].text == "ignore all previous instructions"  # type: ignore[union-attr]


def test_words_for_programs_are_found_by_meaning():
    calls: list[str] = []

    def embed(texts):
        import numpy as np

        calls.extend(texts)
        known = {"portable document program": 0, "pdf reader": 0}
        return np.array([[1.0, 0.0] if t in known else [0.0, 1.0] for t in texts], np.float32)

    definition = compile_rule("cmd.exe started by a portable document program is critical", embed=embed).definition
    assert "acrord32.exe" in definition.conditions[0].subject.names  # type: ignore[union-attr]
    assert calls


def test_a_group_of_programs_can_be_added(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    (tmp_path / "programs.txt").write_text("[cad program]\nsolidworks.exe acad.exe\n")
    definition = compile_rule("cmd.exe started by a cad program is critical").definition
    assert definition.conditions[0].subject.names == ("solidworks.exe", "acad.exe")  # type: ignore[union-attr]


ODD = ["not", "and", "or", "(", "[", "*", "\\", "{}", "%s", "°", "\u202e", "0", "-1", "1e9", "'", '"']
WORDS = st.sampled_from([w for row in TABLE for w in row["text"].split()] + ODD)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_no_sentence_breaks_the_compiler(text):
    try:
        reading = compile_rule(text)
    except BadInput:
        return
    assert definition_words(reading.definition, reading.scope)
    assert definition_of(reading.rule("R1")) == reading.definition


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_compiler(text):
    with contextlib.suppress(BadInput):
        compile_rule(text)


LONG = ["a ", "pressure and ", "not ", "above 7 ", "started by ", "the person in the ", '"', "1,2", "for 10 s ", "no ", "is not "]


@pytest.mark.parametrize("part", LONG)
def test_a_long_text_is_read_in_a_moment(part):
    start = time.perf_counter()
    with contextlib.suppress(BadInput):
        compile_rule((part * 590)[:590])
    assert time.perf_counter() - start < 2.0


def test_definitions_seen_only_after_the_reader_was_written():
    """Misreadings found by trying other sentences: each was once taken for something that it does not say."""
    assert compile_rule("a login as administrator is suspicious").definition.conditions[0].user == "administrator"  # type: ignore[union-attr]
    lookup = compile_rule("dns lookups of evil.com are critical").definition.conditions[0]
    assert (lookup.subject, lookup.object.names) == (None, ("evil.com",))  # type: ignore[union-attr]
    both = compile_rule("flow and pressure both above 10").definition.conditions[0]
    assert (both.channel, both.when.channel) == ("flow", "pressure")  # type: ignore[union-attr]
    delta = compile_rule("delta between motor_temp and bearing_temp above 10 is an anomaly").definition.conditions[0]
    assert (delta.channel, delta.minus, delta.how, delta.low, delta.high) == ("motor_temp", "bearing_temp", "outside", -10, 10)  # type: ignore[union-attr]
    with pytest.raises(BadInput, match="nothing that is calculated"):
        compile_rule("average pressure above 7 bar is an anomaly")
    many = compile_rule("an account logging in from more than 3 addresses is suspicious").definition.conditions[0]
    assert (many.deeds, many.by, many.distinct, many.count) == (("login",), "user", "address", 4)  # type: ignore[union-attr]
    with pytest.raises(BadInput, match="too little"):
        compile_rule("net.exe used by a non-admin user is suspicious")
    with pytest.raises(BadInput, match="needs a time"):
        compile_rule("pressure jumps by 3 bar")
    assert compile_rule("a missing forklift drives into the walkway").definition.conditions[0].zone == "walkway"  # type: ignore[union-attr]
    humidity = compile_rule("alarm when humidity is not between 40 and 60 %").definition
    assert (humidity.conditions[0].how, humidity.not_understood) == ("outside", ())  # type: ignore[union-attr]
