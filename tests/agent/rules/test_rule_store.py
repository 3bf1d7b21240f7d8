"""Kept rules: versions, switching, editing, scope, deleting and undoing, over restarts; checked against a plain model of them."""

import json
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.rules.compile import compile_rule, definition_of
from agent.rules.conflicts import find_conflicts
from agent.rules.store import RuleStore
from core.errors import BadInput, UnknownName
from core.rules import Rule, Scope

TEXTS = ("pressure above 7 bar is an anomaly", "bicycles are fine here", "flow below 20 l/min for 2 minutes is serious")


@pytest.fixture
def store(tmp_path):
    opened = RuleStore(tmp_path)
    yield opened
    opened.close()


def state(store):
    """What the rules are, without the numbers that every change raises."""
    return [(r.id, r.text, r.polarity, r.scope, r.enabled, r.severity) for r in store.rules()]


def test_rules_survive_a_restart_with_their_compiled_form(tmp_path):
    first = RuleStore(tmp_path)
    rule = first.add(compile_rule(TEXTS[0]))
    first.close()
    again = RuleStore(tmp_path)
    assert again.rules() == [rule]
    assert definition_of(again.get("r1")) == compile_rule(TEXTS[0]).definition
    again.close()


def test_an_edit_makes_a_version_beside_the_old_one(store):
    rule = store.add(compile_rule(TEXTS[0]), scope=Scope(source="pump.csv"))
    store.enable("R1", False)
    edited = store.edit("R1", compile_rule("pressure above 9 bar is critical"))
    assert (edited.version, edited.severity, edited.scope, edited.enabled) == (3, 3, Scope(source="pump.csv"), False)
    history = store.history("R1")
    assert [(h.change, h.rule.version, h.rule.text) for h in history] == [
        ("add", 1, TEXTS[0]),
        ("disable", 2, TEXTS[0]),
        ("edit", 3, "pressure above 9 bar is critical"),
    ]
    assert history[0].rule == rule


def test_turning_a_rule_round_turns_its_verdict_and_texts(store):
    store.add(compile_rule("an open lid is critical"))
    normal = store.set_polarity("R1", "normal")
    condition = definition_of(normal).conditions[0]
    assert (normal.polarity, normal.severity) == ("normal", None)
    assert condition.normal == ("an open lid",)
    assert condition.abnormal == ("a closed lid",)
    assert definition_of(store.set_polarity("R1", "anomaly")).conditions[0].abnormal == ("an open lid",)


def test_a_deleted_rule_is_gone_and_its_number_is_not_used_again(store):
    store.add(compile_rule(TEXTS[0]))
    store.delete("R1")
    assert store.rules() == []
    with pytest.raises(UnknownName, match="Unknown rule 'R1'"):
        store.get("R1")
    assert store.add(compile_rule(TEXTS[1])).id == "R2"
    assert [h.change for h in store.history("R1")] == ["add", "delete"]
    with pytest.raises(UnknownName):
        store.history("R9")


def test_undo_goes_back_step_by_step_and_never_loses_a_row(store):
    store.add(compile_rule(TEXTS[0]))
    store.set_severity("R1", 3)
    store.delete("R1")
    assert store.undo().change == "delete"
    assert state(store)[0][5] == 3
    assert store.undo().change == "severity"
    assert store.rules()[0].severity is None
    assert store.undo().change == "add"
    assert store.rules() == []
    assert store.undo() is None
    assert [h.change for h in store.history("R1")] == ["add", "severity", "delete", "undo", "undo", "undo"]
    assert [h.rule.version for h in store.history("R1")] == [1, 2, 3, 4, 5, 6]


def test_only_rules_of_the_source_that_are_on_hold_there(store):
    store.add(compile_rule(TEXTS[0]), scope=Scope(source="pump.csv"))
    store.add(compile_rule(TEXTS[1]), scope=Scope(kind="video"))
    store.add(compile_rule(TEXTS[2]))
    store.add(compile_rule(TEXTS[2]))
    store.enable("R4", False)
    assert [r.id for r in store.rules_for("PUMP.csv", "series")] == ["R1", "R3"]
    assert [r.id for r in store.rules_for("yard.mp4", "video")] == ["R2", "R3"]


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(TEXTS)),
        st.tuples(st.just("undo"), st.none()),
        st.tuples(st.sampled_from(["edit"]), st.sampled_from(TEXTS)),
        st.tuples(st.just("enable"), st.booleans()),
        st.tuples(st.just("delete"), st.none()),
        st.tuples(st.just("scope"), st.sampled_from([Scope(), Scope(source="a.csv"), Scope(kind="video")])),
        st.tuples(st.just("severity"), st.sampled_from([None, 1, 3])),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES, st.randoms(use_true_random=False))
def test_undo_restores_what_was_whatever_was_done(changes, chance):
    with tempfile.TemporaryDirectory() as folder:
        store = RuleStore(Path(folder))
        past: list[list] = []
        for what, value in changes:
            before, rules = state(store), store.rules()
            if what == "undo":
                undone = store.undo()
                assert (undone is None) == (not past)
                if past:
                    assert state(store) == past.pop()
                continue
            if what == "add":
                store.add(compile_rule(value))
            elif not rules:
                continue
            else:
                identity = chance.choice(rules).id
                if what == "edit":
                    store.edit(identity, compile_rule(value))
                elif what == "enable":
                    if store.get(identity).enabled == value:
                        continue
                    store.enable(identity, value)
                elif what == "scope":
                    if store.get(identity).scope == value:
                        continue
                    store.set_scope(identity, value)
                elif what == "severity":
                    if store.get(identity).severity == value:
                        continue
                    store.set_severity(identity, value)
                else:
                    store.delete(identity)
            past.append(before)
        for history in (store.history(r.id) for r in store.rules()):
            versions = [h.rule.version for h in history]
            assert versions == list(range(1, len(versions) + 1))
        while past:
            assert store.undo() is not None
            assert state(store) == past.pop()
        assert store.undo() is None
        assert store.rules() == []
        store.close()


def test_two_processes_see_each_other(tmp_path):
    a, b = RuleStore(tmp_path), RuleStore(tmp_path)
    a.add(compile_rule(TEXTS[0]))
    b.add(compile_rule(TEXTS[1]))
    assert [r.id for r in a.rules()] == [r.id for r in b.rules()] == ["R1", "R2"]
    a.close()
    b.close()


def test_a_folder_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Set TELLTALE_HOME"):
        RuleStore(tmp_path / "file")


def test_a_compiled_form_that_no_longer_fits_is_said(store, tmp_path):
    store.add(compile_rule(TEXTS[0]))
    with sqlite3.connect(tmp_path / "rules.db") as db:
        (body,) = db.execute("SELECT body FROM changes").fetchone()
        db.execute("UPDATE changes SET body = ?", (json.dumps({**json.loads(body), "compiled": {"conditions": []}}),))
    with pytest.raises(BadInput, match="Give the definition again"):
        definition_of(store.get("R1"))


def conflicts(first, second, scope=None):
    a = compile_rule(first).rule("R1")
    b = compile_rule(second).rule("R2", scope=scope)
    return [c.sentence for c in find_conflicts(b, [a])]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pressure above 7 bar is an anomaly", "pressure above 8 bar is fine"),
        ("pressure above 7 bar is an anomaly", "pressure between 6 and 8 bar is normal"),
        ("bicycles are fine here", "bicycles are an anomaly"),
        ("people running are suspicious", "people may run"),
        ("any process reading lsass is critical", "svchost.exe reading lsass is fine"),
        ("an open lid is an anomaly", "an open lid is fine"),
        ("scratches over 1 mm are critical", "scratches under 2 mm do not matter"),
        ("people in the yard are forbidden", "a person is fine"),
        ("logins at night are suspicious", "logins between 5:00 and 7:00 are fine"),
        ("any sensor above 0.9 is an anomaly", "flow above 1 is normal"),
    ],
)
def test_contradictions_are_reported(first, second):
    [sentence] = conflicts(first, second)
    assert "contradicts" in sentence
    assert "R2 decides because it is newer" in sentence


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pressure above 7 bar is an anomaly", "pressure below 5 bar is normal"),
        ("pressure above 7 bar is an anomaly", "flow above 7 is normal"),
        ("bicycles are fine here", "cars are an anomaly"),
        ("people running are suspicious", "people may enter the yard"),
        ("powershell started by winword.exe is critical", "cmd.exe started by explorer is fine"),
        ("people in the yard are forbidden", "people in the hall are fine"),
        ("logins at night are suspicious", "logins between 9:00 and 17:00 are fine"),
        ("pressure above 7 bar when the pump is on is critical", "pressure above 7 bar when the pump is off is fine"),
        ("the pump on is an anomaly", "the pump off is normal"),
        ("scratches over 2 mm are critical", "scratches under 1 mm do not matter"),
    ],
)
def test_what_cannot_happen_together_is_no_contradiction(first, second):
    assert conflicts(first, second) == []


def test_scopes_that_never_meet_do_not_contradict_and_the_narrower_one_wins():
    a = compile_rule("pressure above 7 bar is an anomaly").rule("R1", scope=Scope(source="a.csv"))
    wide = compile_rule("pressure above 8 bar is fine").rule("R2")
    [found] = find_conflicts(wide, [a])
    assert found.winner == "R1"
    assert "holds more narrowly" in found.sentence
    elsewhere = compile_rule("pressure above 8 bar is fine").rule("R3", scope=Scope(source="b.csv"))
    assert find_conflicts(elsewhere, [a]) == []


def test_a_repeat_is_said():
    a = compile_rule("pressure above 7 bar is an anomaly").rule("R1")
    b = compile_rule("flag pressure above 7 bar").rule("R2")
    assert [c.sentence for c in find_conflicts(b, [a])] == ["R2 says the same as R1."]
    assert conflicts("pressure above 7 bar is an anomaly", "pressure above 7 bar is critical") == [
        "R2 says the same as R1, with another severity."
    ]


def test_a_rule_word_refuses_what_it_cannot_be():
    with pytest.raises(BadInput, match="polarity"):
        Rule(id="R1", text="x", polarity="maybe", compiled={})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="severity"):
        Rule(id="R1", text="x", polarity="normal", compiled={}, severity=7)
    with pytest.raises(BadInput, match="text"):
        Rule(id="R1", text="  ", polarity="normal", compiled={})
    with pytest.raises(BadInput, match="kind"):
        Scope(kind="smell")  # type: ignore[arg-type]
