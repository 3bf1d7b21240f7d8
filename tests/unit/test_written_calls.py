"""Tool calls in a model's text: what counts, what does not, and what the model is told about it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.chat.written_calls import CLOSE, MAX_PROBLEMS, OPEN, read_marked, read_plain

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {
                "at_s": {"type": "number", "minimum": 0},
                "why": {"enum": ["first", "last"]},
                "box": {"type": "array", "items": {"type": "integer"}, "maxItems": 4},
            },
            "required": ["at_s"],
        },
    },
}
LIST = {
    "type": "function",
    "function": {"name": "list_files", "description": "", "parameters": {"type": "object", "properties": {}}},
}
TOOLS = [LOOK, LIST]


def marked(*values: object) -> str:
    return "\n".join(f"{OPEN}\n{value if isinstance(value, str) else json.dumps(value)}\n{CLOSE}" for value in values)


def call(name: object = "look", **arguments: object) -> dict:
    return {"name": name, "arguments": arguments}


def test_words_and_several_calls_are_taken_apart():
    reading = read_marked(f"Let me look.\n{marked(call(at_s=3.5), call('list_files'))}\n", TOOLS)
    assert reading.text == "Let me look."
    assert [(c["name"], c["args"]) for c in reading.calls] == [("look", {"at_s": 3.5}), ("list_files", {})]
    assert len({c["id"] for c in reading.calls}) == 2
    assert reading.problems == ()


def test_an_answer_without_calls_is_words():
    assert read_marked("The belt slips [E1]. ", TOOLS).text == "The belt slips [E1]."
    assert read_plain("The belt slips [E1]. ", TOOLS).text == "The belt slips [E1]."


def test_the_plain_form_takes_one_object_alone_or_fenced():
    text = json.dumps({"calls": [call(at_s=1, why="first"), call("list_files")]})
    for output in (text, f"\n{text}\n", f"```json\n{text}\n```", f"```\n{text}\n```"):
        assert [c["name"] for c in read_plain(output, TOOLS).calls] == ["look", "list_files"]


def test_json_quoted_in_words_is_no_call():
    quoted = 'The log says {"calls": [{"name": "look", "arguments": {"at_s": 1}}]}.'
    assert read_plain(quoted, TOOLS).calls == ()
    assert read_plain(quoted, TOOLS).text == quoted


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (f'{OPEN}{{"name": "look", "arguments": {{"at_s": 3}}', "a <tool_call> is not closed"),
        (f'{{"name": "look"}}{CLOSE}', "has no <tool_call> before it"),
        (f"{OPEN}{OPEN}{json.dumps(call(at_s=1))}{CLOSE}", "stands inside another"),
        (marked("{'name': 'look'}"), "is not JSON: Expecting property name"),
        (marked('{"name": "look", "arguments": {"at_s": 3},}'), "is not JSON"),
        (marked('{"name": "look", "arguments": {"at_s": NaN}}'), "NaN is not a JSON value"),
        (marked('{"name": "look", "arguments": {"at_s": 1e999}}'), "is not JSON"),
        (marked('{"name": "look", "arguments": {"at_s": 1, "at_s": 2}}'), "'at_s' is given twice"),
        (marked('{"name": "look", "arguments": {"at_s": 1, "why": "\\ud800"}}'), "half a character"),
        (marked("[" * 100_000), "nested too deeply"),
        (marked([call(at_s=1)]), 'keys "name", a text, and "arguments"'),
        (marked({"name": "look"}), 'keys "name", a text, and "arguments"'),
        (marked({**call(at_s=1), "why": "x"}), 'keys "name", a text, and "arguments"'),
        (marked(call(["look"], at_s=1)), 'keys "name", a text, and "arguments"'),
        (marked(call("listen")), "'listen' is not offered. Offered: list_files, look"),
        (marked({"name": "look", "arguments": "{}"}), "expected a JSON object of arguments"),
        (marked(call()), "'at_s' is a required property"),
        (marked(call(at_s="3.5")), "'3.5' is not of type 'number'"),
        (marked(call(at_s=True)), "True is not of type 'number'"),
        (marked(call(at_s=-1)), "less than the minimum"),
        (marked(call(at_s=1, why="middle")), "'middle' is not one of"),
        (marked(call(at_s=1, box=[1, 2.5])), "at box.1: 2.5 is not of type 'integer'"),
        (marked(call(at_s=1, zoom=2)), "no argument 'zoom'"),
    ],
)
def test_malformed_calls_are_named_and_none_is_used(output, problem):
    good = marked(call(at_s=1))
    reading = read_marked(good + output, TOOLS)
    assert any(problem in found for found in reading.problems), reading.problems
    assert reading.calls == ()


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ('{"calls": [{"name": "look"', "not one JSON object"),
        ('{"calls": []}', 'single key "calls"'),
        ('{"calls": {"name": "look"}}', 'single key "calls"'),
        ('{"answer": "x"}', 'single key "calls"'),
        ('{"calls": [{"name": "look", "arguments": {"at_s": 1}}]} Done.', "not one JSON object: Extra data"),
        ('{"calls": [{"name": "look", "arguments": {"at_s": "x"}}]}', "is not of type 'number'"),
    ],
)
def test_malformed_plain_output_is_named(output, problem):
    reading = read_plain(output, TOOLS)
    assert problem in reading.problems[0]
    assert reading.calls == ()


def test_a_call_can_be_demanded():
    assert read_marked("Hello", TOOLS, required="any").problems == ("a tool must be called",)
    assert read_plain("Hello", TOOLS, required="look").problems == ("the tool 'look' must be called",)
    assert read_marked(marked(call("list_files")), TOOLS, required="look").problems == ("only the tool 'look' may be called",)
    assert read_marked(marked(call(at_s=1)), TOOLS, required="look").calls[0]["name"] == "look"


def test_only_so_many_problems_are_told():
    assert len(read_marked(marked(*[call("x")] * 20), TOOLS).problems) == MAX_PROBLEMS


PIECES = [*'{}[]"\\,: aé1\n', OPEN, CLOSE, '"name"', '"calls"', "look", "```"]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(max_examples=300, deadline=None)
def test_nothing_a_model_writes_breaks_the_reader(output):
    for read in (read_marked, read_plain):
        reading = read(output, TOOLS)
        assert not (reading.calls and reading.problems)
        assert OPEN not in reading.text or read is read_plain


@given(
    st.fixed_dictionaries(
        {"at_s": st.floats(0, 1e6)},
        optional={"why": st.sampled_from(["first", "last"]), "box": st.lists(st.integers(), max_size=4)},
    )
)
@settings(max_examples=100, deadline=None)
def test_every_valid_call_comes_back_as_it_was(arguments):
    value = {"name": "look", "arguments": arguments}
    assert read_marked(marked(value), TOOLS).calls[0]["args"] == arguments
    assert read_plain(json.dumps({"calls": [value]}), TOOLS).calls[0]["args"] == arguments
