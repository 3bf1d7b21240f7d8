import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.severity import BANDS, Judgement, confidence, grade
from agent.severity_table import BUILT_IN, COPY, built_in, editable_copy, read_table, table_in_force
from core.errors import BadInput

NEUTRAL = {"ratio": 2.0, "extent": 0.04, "extent_words": "4 % of the picture"}
PATHS = ({}, {"rule_level": 1}, {"rule_level": 3}, {"named": "crack", "kind": "image"}, {"rule_weight": 2.0},
         {"judged": Judgement(level=2, reason="", judge="the judge")}, {"rule_weight": 0.3})  # fmt: skip


def graded(**changes):
    return grade(**{**NEUTRAL, **changes})


def table(tmp_path, text):
    path = tmp_path / COPY
    path.write_text(text, encoding="utf-8")
    return path


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0, 30),
    st.floats(0, 1),
    st.floats(0, 1e6),
    st.floats(0, 1),
    st.floats(0.1, 5),
    st.sampled_from(["", "crack", "scratch"]),
)
def test_level_and_score_always_agree(ratio, extent, duration_s, sure, weight, named):
    found = graded(ratio=ratio, extent=extent, duration_s=duration_s, sure=sure, rule_weight=weight, named=named)
    low, high = BANDS[found.level]
    assert low <= found.score <= high
    assert found.level == 3 or found.score < high


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("ratio", [0.2, 0.9, 1.0, 1.2, 2.0, 5.0, 9.0]),
        ("extent", [0.0, 0.001, 0.05, 0.5, 1.0]),
        ("duration_s", [None, 1.0, 40_000.0, 80_000.0]),
        ("sure", [0.5, 0.6, 0.8, 0.95]),
    ],
)
def test_more_of_anything_measured_is_never_milder(path, what, values):
    scores = [graded(**{what: value}, **path).score for value in values]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0]


def test_within_a_level_the_measured_order_decides_whatever_set_the_level():
    ratios = np.linspace(1.0, 6.0, 40)
    for level in (1, 2, 3):
        unknown = [(r, s) for r in ratios if (s := graded(ratio=r)).level == level]
        ruled = [(r, graded(ratio=r, rule_level=level)) for r in ratios]
        assert all(s.level == level for _, s in ruled)
        merged = sorted([*unknown, *ruled], key=lambda pair: pair[0])
        assert [s.score for _, s in merged] == sorted(s.score for _, s in merged)


def test_below_the_threshold_nothing_is_wrong_but_order_is_kept():
    below = [graded(ratio=ratio, extent=0.0) for ratio in (-40.0, 0.0, 0.5, 0.99)]
    assert [s.level for s in below] == [0, 0, 0, 0]
    assert [s.score for s in below] == sorted(s.score for s in below)
    assert below[-1].score < graded(ratio=1.0, extent=0.0).score
    assert graded(ratio=1.0, extent=0.0).level == 1
    assert graded(ratio=np.float32(1.0) - 1e-7).level == 1


def test_a_rule_decides_before_the_judge_and_the_judge_before_the_table():
    judge = Judgement(level=2, reason="the rim is open", judge="the judge")
    assert graded(named="scratch", kind="image").level == 1
    by_judge = graded(named="scratch", kind="image", judged=judge)
    assert by_judge.level == 2
    assert "the judge judges it serious (the rim is open)" in by_judge.why
    by_rule = graded(named="scratch", kind="image", judged=judge, rule_level=3)
    assert by_rule.level == 3
    assert by_rule.why.endswith("the rule calls it critical")
    assert by_rule.known
    assert not graded().known
    assert graded(rule_level=0, ratio=9.0, floor=80.0).level == 0  # a person may call a deed harmless


def test_the_table_sets_the_level_and_a_huge_deviation_adds_one():
    scratch = {"named": "long scratch", "kind": "image"}
    small, huge = graded(**scratch), graded(ratio=9.0, extent=0.5, **scratch)
    assert (small.level, huge.level) == (1, 2)
    assert "scratch is minor (only the surface is touched)" in small.why
    assert "one level more" in huge.why
    assert "one level more" not in small.why
    missing = {"named": "missing screw", "kind": "image"}
    faint, plain = graded(ratio=1.01, extent=0.0, **missing), graded(**missing)
    assert (faint.level, plain.level) == (3, 3)
    assert faint.score < plain.score


def test_known_deeds_only_raise_what_was_measured():
    dumped = ("notepad.exe a.txt", "rundll32.exe comsvcs.dll, MiniDump 624 out.dmp full")
    started = ("schtasks.exe /create /tn x",)
    assert graded(ratio=1.1, extent=0.0, did=dumped, kind="events").level == 3
    assert "comsvcs … minidump is critical" in graded(ratio=1.1, extent=0.0, did=dumped, kind="events").why
    assert graded(ratio=1.1, extent=0.0, did=started, kind="events").level == 2
    far = {"ratio": 9.0, "extent": 1.0}
    assert graded(**far, did=started, kind="events") == graded(**far)  # measured as critical already
    assert graded(did=("powershell.exe -File a.ps1", "enc.exe"), kind="events") == graded()  # a phrase lies within one deed
    assert graded(did=dumped, kind="events", rule_level=1).level == 1


def test_weights_move_the_score_and_say_so_but_weigh_nothing_away():
    plain, heavy, light = graded(), graded(rule_weight=2.0), graded(rule_weight=0.1)
    assert light.score < plain.score < heavy.score
    assert light.level == 1
    assert "the rule counts 2 times" in heavy.why
    spike, flatline = (graded(named=kind, kind="series") for kind in ("spike", "flatline"))
    assert spike.score < plain.score < flatline.score
    assert "spike counts 0.8 times (often an error of measurement rather than a fault)" in spike.why


def test_each_factor_that_moved_the_score_is_told_and_no_other():
    assert graded().why == "2.0× the threshold's distance, 4 % of the picture"
    assert "unsure, so it counts less" in graded(sure=0.6).why
    assert "sure" not in graded(sure=0.95).why
    assert "it lasts 8 h" in graded(duration_s=28_800.0).why
    assert graded(extent=0.5, duration_s=28_800.0).why == graded(extent=0.5).why  # half of the whole says more than eight hours
    assert graded(named="something else", kind="image").why == graded().why


def test_duration_and_confidence_stay_within_what_they_may_do():
    day, week = (graded(duration_s=days * 86_400.0) for days in (1, 7))
    assert day.score == week.score == graded(extent=0.25).score
    unsure, hopeless = graded(sure=0.5), graded(sure=0.0)
    assert unsure.score == hopeless.score < graded().score


def test_a_floor_lifts_what_is_never_harmless():
    assert graded(ratio=1.0, extent=0.0, floor=80.0).score == 80.0
    assert graded(ratio=9.0, extent=1.0, floor=20.0).score == graded(ratio=9.0, extent=1.0).score


@pytest.mark.parametrize(("change", "problem"), [({"rule_level": 4}, "rule level"), ({"rule_weight": 0}, "rule weight"),
                                                 ({"rule_weight": float("nan")}, "rule weight")])  # fmt: skip
def test_bad_values_are_refused(change, problem):
    with pytest.raises(BadInput, match=problem):
        graded(**change)
    with pytest.raises(BadInput, match="expected a level 0–3"):
        Judgement(level=5, reason="", judge="the judge")


def test_confidence_grows_with_distance_and_falls_with_p():
    values = [confidence(p_value=None, ratio=ratio, calibrated=False) for ratio in (0.5, 1.0, 2.0, 4.0, 50.0)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0.5, 0.9)
    assert confidence(p_value=0.001, ratio=1.0, calibrated=True) == 0.99
    assert confidence(p_value=0.9, ratio=1.0, calibrated=True) == 0.5


@pytest.mark.parametrize(
    ("named", "kind", "level"),
    [
        ("a thin scratch", "image", 1),
        ("Cracked rim", "image", 2),
        ("missing_cable", "image", 3),
        ("Broken-Large", "image", 3),
        ("a man fell down", "video", 3),
        ("two people are fighting", "video", 3),
        ("person walking on the track", "video", 3),
        (r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -NoP -Enc SQBFAFgA", "events", 3),
        (r"rundll32.exe C:\windows\System32\comsvcs.dll, MiniDump 624 out.dmp full", "events", 3),
        ("procdump64.exe -ma lsass.exe x.dmp", "events", 3),
        (r"reg.exe save HKLM\SAM sam.hive", "events", 3),
        ("net.exe user bob Secret1 /add", "events", 2),
    ],
)
def test_the_built_in_table_knows(named, kind, level):
    found = built_in().known(named, kind)
    assert found is not None
    assert found.type.level == level


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("unusual region, upper left", "image"),
        ("unusual motion", "video"),
        ("unusual pattern", "series"),
        (r"C:\Program Files\Mozilla Firefox\firefox.exe", "events"),
        (r"powershell.exe -File E:\scripts\backup.ps1", "events"),
        ("a drift in the pressure", "image"),
        ("a fireplace in autumn", "video"),
        ("scratchpad", "image"),
    ],
)
def test_the_built_in_table_claims_nothing_about(named, kind):
    assert built_in().known(named, kind) is None


def test_every_built_in_type_gives_a_reason_and_finds_its_own_phrases():
    for known in built_in().types:
        assert known.reason
        for phrase in known.words:
            text = phrase.replace("*", "x y")
            found = built_in().known(text, known.kinds[0])
            assert found is not None, phrase
            assert (-1 if found.type.level is None else found.type.level) >= (-1 if known.level is None else known.level)


def test_no_phrase_stands_twice_for_one_kind():
    seen = [(word, kind) for known in built_in().types for word, kind in itertools.product(known.words, known.kinds)]
    assert sorted(seen) == sorted(set(seen))


def test_a_copy_in_the_home_is_used_instead_and_read_again_when_it_changes(tmp_path):
    assert table_in_force(tmp_path) is built_in()
    path = editable_copy(tmp_path)
    assert path.read_bytes() == BUILT_IN.read_bytes()
    assert table_in_force(tmp_path).types == built_in().types
    table(tmp_path, '[[type]]\nwords = ["scratch"]\nlevel = 3\nreason = "lenses"\n')
    mine = table_in_force(tmp_path)
    assert mine.known("a scratch").type.level == 3
    assert mine.version != built_in().version
    assert editable_copy(tmp_path).read_text() != BUILT_IN.read_text()  # an existing copy is never overwritten
    os.utime(table(tmp_path, '[[type]]\nwords = ["scratch"]\nlevel = 2\nreason = "lenses"\n'), ns=(1, 1))
    assert table_in_force(tmp_path).known("a scratch").type.level == 2


def test_grading_uses_the_copy_of_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    assert graded(named="scratch", kind="image").level == 1
    table(tmp_path, '[[type]]\nwords = ["scratch"]\nlevel = 3\nreason = "it is a lens"\n')
    found = graded(named="scratch", kind="image")
    assert found.level == 3
    assert found.why.endswith("scratch is critical (it is a lens)")


def test_cached_results_are_not_used_again_after_the_table_changed(tmp_path):
    from agent.evidence_store import EvidenceStore
    from agent.planner import ToolCall
    from agent.toolbox import Toolbox
    from readers.open import open_path

    (tmp_path / "a.csv").write_text("t,x\n" + "".join(f"{i},{i % 3}\n" for i in range(50)))
    source = open_path(tmp_path / "a.csv")
    box = Toolbox(EvidenceStore(tmp_path / "home"))
    call = ToolCall(detector="window_pca", source=source.name, reason="")
    before = box.key(call, source, ())
    assert box.key(call, source, ()) == before
    table(tmp_path / "home", '[[type]]\nwords = ["spike"]\nlevel = 3\n')
    assert box.key(call, source, ()) != before


HEAD = '# mine\n\n[[type]]\nwords = ["scratch"]\nlevel = 1\n\n'


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('[[type]]\nwords = ["dent"]\nlevel = 7', 9, "level: expected 0 (none), 1 (minor), 2 (serious) or 3 (critical), got 7"),
        ('[[type]]\nwords = ["dent"]\nlevel = true', 9, "got True"),
        ('[[type]]\nwords = ["dent"]\nlevel = "minor"', 9, "got 'minor'"),
        ('[[type]]\nwords = "dent"\nlevel = 1', 8, "words: expected a list of texts"),
        ("[[type]]\nwords = []\nlevel = 1", 8, "at least one phrase"),
        ("[[type]]\nlevel = 1", 7, "at least one phrase"),
        ('[[type]]\nwords = ["dent", "--"]\nlevel = 1', 8, "letters or digits"),
        ('[[type]]\nwords = ["dent"]', 7, "expected a level or a weight"),
        ('[[type]]\nwords = ["dent"]\nweight = 0', 9, "weight: expected a number above 0"),
        ('[[type]]\nwords = ["dent"]\nweight = nan', 9, "weight: expected a number above 0"),
        ('[[type]]\nwords = ["dent"]\nlevel = 1\nkinds = ["photo"]', 10, "unknown kind 'photo'; expected image"),
        ('[[type]]\nwords = ["dent"]\nlevel = 1\nreason = 3', 10, "reason: expected text"),
        ('[[type]]\nwords = ["dent"]\nlevle = 1', 9, "unknown key 'levle'; expected words, level"),
        ('[[typ]]\nwords = ["dent"]', 7, "expected [[type]] entries only, got 'typ'"),
        ('[[type]]\nwords = ["dent"\nlevel = 1', 9, ""),
    ],
)
def test_a_damaged_table_is_refused_with_the_line(tmp_path, text, line, problem):
    with pytest.raises(BadInput) as refused:
        read_table(table(tmp_path, HEAD + text + "\n"))
    message = str(refused.value)
    assert f"line {line}" in message
    assert problem in message
    assert message.endswith("Mend it, or remove the file to use the built-in table.")


def test_other_damage_is_refused_too(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_table(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'[[type]]\nreason = "\xe9"\n')
    with pytest.raises(BadInput, match="line 2: expected UTF-8"):
        read_table(tmp_path / "latin.toml")
    with pytest.raises(BadInput, match="double brackets"):
        read_table(table(tmp_path, '[type]\nwords = ["dent"]\nlevel = 1\n'))
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(BadInput, match="at most 1,000,000 bytes"):
        read_table(tmp_path / "large.toml")


def test_an_empty_table_knows_nothing(tmp_path):
    assert read_table(table(tmp_path, "# nothing yet\n")).known("crack") is None
