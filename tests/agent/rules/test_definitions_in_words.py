"""Definitions as people say them, judged by hand: `definitions.jsonl` holds the words each is read as, or why it is refused.

A row without `refused` holds the whole sentence of the compiled form (without "I read this as", and without the sentence that the
verdict was assumed). On small samples the rule and its inverse must decide the opposite.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.question import EntityIndex, SourceInfo
from agent.rules.compile import compile_rule, inverted
from agent.rules.conditions import ConceptCondition
from agent.rules.evaluate import Material, OddRegions, evaluate
from agent.rules.measurable import limits_of
from agent.rules.wording import definition_words
from core.errors import BadInput
from core.evidence import Region
from core.samples import EventLog, ImageSample, Series, VideoClip
from tools.video.relation_words import Entity, Relation

ROWS = [json.loads(line) for line in Path(__file__).with_name("definitions.jsonl").read_text("utf-8").splitlines()]
READ = [row for row in ROWS if "words" in row]
REFUSED = [row for row in ROWS if "refused" in row]
ASSUMED = " The sentence does not say whether this is an anomaly or normal; it was taken as an anomaly."
CHANNELS = {
    "motor_temp": "°C", "bearing_temp": "°C", "pressure": "bar", "oil_pressure": "bar", "flow": "l/min", "level": "cm", "vibration": "mm/s",
    "current": "A", "humidity": "%", "pump_on": "", "fan_on": "", "motor_on": "", "valve_open": "",
}  # fmt: skip
PLANT = SourceInfo(
    name="plant.csv", kind="series", channels=tuple(CHANNELS), units=tuple(CHANNELS.values()), time_base="clock", epoch_s=0.0
)
LOG = SourceInfo(
    name="edr.jsonl", kind="events", entities=EntityIndex.of(["svcupd.exe", "alice", r"C:\Windows\System32\cmd.exe"])
)


def compiled(row):
    sources = {"series": [PLANT], "events": [LOG]}.get(row["kind"], [])
    return compile_rule(row["text"], sources=sources)


@pytest.mark.parametrize("row", READ, ids=[row["text"] for row in READ])
def test_a_definition_is_read_as_it_was_meant(row):
    reading = compiled(row)
    said = definition_words(reading.definition, reading.scope)
    assert said.removeprefix("I read this as: ").replace(ASSUMED, "") == row["words"]


@pytest.mark.parametrize("row", REFUSED, ids=[row["text"][:60] or "empty" for row in REFUSED])
def test_what_cannot_be_read_or_measured_is_refused_with_the_reason(row):
    with pytest.raises(BadInput) as refused:
        compiled(row)
    assert row["refused"] in str(refused.value)


def test_every_state_of_a_picture_abstains_and_names_the_command():
    seen = [
        row for row in READ if any(isinstance(c, ConceptCondition) and not c.visible for c in compiled(row).definition.conditions)
    ]
    for row in seen:
        limits = [limit for c in compiled(row).definition.conditions if isinstance(c, ConceptCondition) for limit in limits_of(c)]
        assert limits, row["text"]
        assert all("telltale models pull" in limit.what_would_help for limit in limits), row["text"]
    assert len(seen) > 40


def plant(seed, period_s, rows, epoch_s):
    """Readings that stand still, jump and drift, of every channel of the plant."""
    rng = np.random.default_rng(seed)
    spans = {"motor_temp": (15, 130), "bearing_temp": (15, 130), "humidity": (30, 90), "level": (10, 200), "vibration": (0, 15)}
    columns = []
    for name in CHANNELS:
        low, high = spans.get(name, (0, 1) if name.endswith(("_on", "_open")) else (0, 60))
        steps = rng.uniform(low, high, 1 + rows // 40).repeat(40)[:rows]
        if name.endswith(("_on", "_open")):
            columns.append((steps > 0.5).astype(float))
            continue
        noise = np.where(np.arange(rows) // 400 % 2, rng.normal(0, 1.0, rows), 0.0)
        columns.append(np.where(np.arange(rows) // 600 % 5 == 4, 0.0, steps + noise))
    return Series(
        name="plant.csv", values=np.stack(columns, 1).astype(np.float32), time_s=np.arange(rows) * period_s, channels=tuple(CHANNELS),
        units=tuple(CHANNELS.values()), time_base="clock", epoch_s=epoch_s,
    )  # fmt: skip


MONDAY = 4 * 86_400.0
SERIES = [plant(1, 0.1, 4000, MONDAY + 9 * 3600), plant(2, 1.0, 6000, MONDAY - 3600), plant(3, 60.0, 12_000, MONDAY - 2 * 86_400)]


def log():
    """A log in which much of what the definitions speak of happens: twice at once on a Sunday night, and much of it not."""
    people, programs = (
        ("alice", "root", "administrator", "guest", "backup"),
        ("svchost.exe", "winword.exe", "java.exe", "chrome.exe"),
    )
    shell, temp = r"C:\Windows\System32\powershell.exe", r"C:\Users\alice\AppData\Local\Temp"
    acts = [
        ("create_process", shell, "powershell.exe -nop -enc SQBFAFgA"), ("create_process", rf"{temp}\x.exe", "x.exe"),
        ("create_process", r"C:\Windows\System32\cmd.exe", "cmd.exe /c dir"), ("create_process", r"C:\Temp\svchost.exe", "svchost.exe"),
        ("create_process", r"C:\Windows\System32\vssadmin.exe", "vssadmin delete shadows /all"),
        ("create_file", rf"{temp}\a.dmp", ""), ("create_file", r"C:\Users\Public\a.exe", ""), ("load_image", rf"{temp}\a.dll", ""),
        ("access_process", r"C:\Windows\System32\lsass.exe", "0x1410"), ("connect", "203.0.113.66:4444", "tcp"),
        ("connect", "10.0.0.5:443", "tcp"), ("dns_query", "evil.com", ""), ("delete_file", r"C:\data\a.doc", ""),
        ("rename_file", r"C:\data\a.locked", ""), ("logon", "dc01", "an account was successfully logged on"),
        ("logon_failed", "dc01", "an account failed to log on"),
        ("create_process", r"C:\Tools\mimikatz.exe", "mimikatz"), ("create_process", r"C:\Windows\net.exe", "net user x /add"),
        ("create_process", r"C:\Windows\certutil.exe", "certutil -urlcache -f http"), ("create_file", "/etc/passwd", ""),
        ("create_process", r"C:\Windows\reg.exe", r"reg save hklm\sam x"), ("create_file", rf"{temp}\a.iso", ""),
        ("create_process", r"C:\Windows\schtasks.exe", "schtasks /create /tn x"), ("connect", "185.12.3.4:8080", "tcp"),
        ("reg_set", r"HKLM\Software\Microsoft\Windows\CurrentVersion\Run\x", ""),
    ]  # fmt: skip
    rows = []
    for i in range(60):
        start = (
            3 * 86_400.0 + 3600 + 0.05 * i if i < 30 else MONDAY + 9 * 3600 + 7200.0 * i
        )  # a burst on a Sunday night, then hours apart
        program = programs[i % 4]
        rows += [
            (start, rf"C:\Programs\{program}", f"p{i % 4}", operation, thing, people[i % 5], f"host{i % 2}", detail)
            for operation, thing, detail in acts
        ]
    columns = ("time_s", "subject", "subject_id", "operation", "object", "user", "host", "detail")
    table = pl.DataFrame(rows, schema=list(columns), orient="row").with_row_index("row", 1)
    return EventLog(name="edr.jsonl", table=table, roles={}, epoch_s=0.0)


EVENTS = [log()]


class Clip(VideoClip):
    """A clip of which only its name and times are asked."""

    def __init__(self):
        object.__setattr__(self, "name", "yard.mp4")
        object.__setattr__(self, "epoch_s", MONDAY - 3600)

    @property
    def duration_s(self):
        return 900.0


def relations(_clip):
    who, yard = Entity(1, "person"), Entity(None, "yard")
    return [
        Relation(t0_s=1.0, t1_s=2.0, subject=who, predicate="falls", strength=0.6),
        Relation(t0_s=1.0, t1_s=400.0, subject=who, predicate="enters zone", object=yard, strength=399.0),
        Relation(t0_s=3.0, t1_s=9.0, subject=who, predicate="runs", strength=3.0),
        Relation(t0_s=5.0, t1_s=9.0, subject=who, predicate="in a crowd", strength=25.0),
        Relation(t0_s=5.0, t1_s=95.0, subject=who, predicate="leaves behind", strength=90.0),
    ]


def regions():
    spots = [
        Region(sample="a.png", box=(10, 10, 80, 60), area_share=0.07),
        Region(sample="a.png", box=(1, 90, 4, 93), area_share=0.0009),
    ]
    return OddRegions(regions={"a.png": spots}, sizes={"a.png": (100, 200)})


def materials(kind):
    if kind == "series":
        return [Material(source=s.name, kind="series", samples=[s]) for s in SERIES]
    if kind == "events":
        return [Material(source=s.name, kind="events", samples=[s]) for s in EVENTS]
    if kind == "video":
        zones = ("yard", "gate", "atm", "exit", "platform", "vault", "lobby", "tracks")
        return [Material(source="yard.mp4", kind="video", samples=[Clip()], relations=relations, zones=zones)]
    picture = ImageSample(name="a.png", pixels=np.zeros((100, 200, 3), np.uint8))
    return [
        Material(
            source="a.png",
            kind="image",
            samples=[picture],
            regions=regions,
            mm_per_px=0.1,
            kind_of=lambda _: "scratch stain crack",
        )
    ]


def decision(definition, material):
    """Abnormal, normal, or None where it cannot be told: what a person sees of a rule."""
    outcome = evaluate(definition, material)
    if not outcome.tried or (outcome.cannot and not outcome.findings):
        return None
    return "abnormal" if bool(outcome.findings) == (definition.polarity == "anomaly") else "normal"


@pytest.mark.parametrize("kind", ["series", "events", "video", "image"])
def test_with_the_rule_inverted_the_decision_inverts(kind):
    told, fired = set(), set()
    for row in READ:
        if row["kind"] != kind:
            continue
        definition = compiled(row).definition
        if any(isinstance(c, ConceptCondition) and c.visible for c in definition.conditions):
            continue  # matching a thing by its name needs real pictures
        for material in materials(kind):
            first, second = decision(definition, material), decision(inverted(definition), material)
            assert (first is None) == (second is None), row["text"]
            if first is None:
                continue
            assert {first, second} == {"abnormal", "normal"}, row["text"]
            told.add(row["text"])
            if evaluate(definition, material).findings:
                fired.add(row["text"])
    least_told, least_fired = {"series": (55, 50), "events": (45, 28), "video": (10, 4), "image": (20, 8)}[kind]
    assert len(told) >= least_told
    assert len(fired) >= least_fired
