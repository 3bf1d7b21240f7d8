"""The scripted tier: order, conditions, failures, lies, and what it says when the script is at fault."""

import json
import time

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from core.errors import BadInput, BudgetExceeded, ModelOutputError, TelltaleError, UserError
from models.chat.failures import BrokenAnswer
from models.chat.scripted import open_scripted, scripted
from models.chat.tiers import open_chat

YAML = """
replies:
  - text: The belt stops at 99 s [E7].
  - when: heatmap
    tool_calls:
      - {name: look, arguments: {at_s: 12}}
  - matching: 'E\\d+'
    in_last: true
    text: Cited.
    repeat: true
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "replies.yaml"
    path.write_text(YAML)
    return path


def test_replies_come_in_order_when_they_fit(script):
    chat = open_chat(f"scripted:{script}")
    assert chat.invoke("no condition holds first").text == "The belt stops at 99 s [E7]."
    assert chat.invoke("see E1").text == "Cited."
    assert chat.invoke("see E2").text == "Cited."
    answer = chat.invoke([SystemMessage("the heatmap is attached"), HumanMessage("E1?")])
    assert [call["args"] for call in answer.tool_calls] == [{"at_s": 12}]
    assert chat.unused == []
    assert len(chat.sent) == 4


LOOK = {
    "title": "look",
    "description": "Look.",
    "type": "object",
    "properties": {"at_s": {"type": "number"}},
    "required": ["at_s"],
}


def call(arguments):
    return {"tool_calls": [{"name": "look", "arguments": arguments}]}


def test_wrong_calls_are_asked_for_again_as_in_the_other_tiers():
    chat = scripted(call('{"at_s": '), call({"at_s": 12}))
    answer = chat.bind_tools([LOOK]).invoke("look")
    assert [made["args"] for made in answer.tool_calls] == [{"at_s": 12}]
    assert "not valid JSON" in chat.sent[1].text
    with pytest.raises(ModelOutputError, match="wrongly twice: tool 'look': at at_s: 'noon' is not of type 'number'"):
        scripted(call({}), call({"at_s": "noon"})).bind_tools([LOOK]).invoke("look")


def test_unchecked_calls_are_passed_on():
    answer = scripted(call("not json"), checked=False).bind_tools([LOOK]).invoke("?")
    assert answer.tool_calls == []
    assert (answer.invalid_tool_calls[0]["name"], answer.invalid_tool_calls[0]["args"]) == ("look", "not json")


def test_what_was_sent_is_kept():
    chat = scripted("one", "two")
    chat.bind_tools([LOOK], tool_choice="any").invoke([SystemMessage("be brief"), HumanMessage([{"type": "text", "text": "?"}])])
    chat.invoke("again")
    first, second = chat.sent
    assert (first.text, first.tool_names, first.options) == ("be brief\n\n?", ["look"], {"tool_choice": "any"})
    assert (second.text, second.tool_names, second.options) == ("again", [], {})


def test_words_stream_with_delay_and_pace():
    chat = scripted({"text": "one two three", "delay_s": 0.1, "pace_s": 0.05})
    start = time.perf_counter()
    pieces = [piece.text for piece in chat.stream("?")]
    assert [piece for piece in pieces if piece] == ["one ", "two ", "three"]
    assert time.perf_counter() - start >= 0.2
    timing = scripted({"text": "one two three", "delay_s": 0.1, "pace_s": 0.05}).invoke("?").response_metadata["timing"]
    assert timing["tokens"] == 3
    assert timing["first_token_s"] >= 0.1
    assert timing["tokens_per_s"] <= 20


def test_an_error_after_words_breaks_the_answer():
    stream = scripted({"text": "The belt", "error": "the connection was lost."}).stream("?")
    assert [next(stream).text, next(stream).text] == ["The ", "belt"]
    with pytest.raises(BrokenAnswer, match="the connection was lost") as caught:
        next(stream)
    assert caught.value.partial == "The belt"


@pytest.mark.parametrize(
    ("name", "kind"), [(None, ModelOutputError), ("UserError", UserError), ("BudgetExceeded", BudgetExceeded)]
)
def test_an_error_alone_comes_at_once(name, kind):
    reply = {"error": "no answer."} | ({"error_class": name} if name else {})
    with pytest.raises(TelltaleError, match="no answer") as caught:
        scripted(reply).invoke("?")
    assert type(caught.value) is kind


def test_an_exhausted_script_says_so():
    chat = scripted("one")
    chat.invoke("first")
    with pytest.raises(BadInput, match=r"request 2 has no reply, all 1 replies are used up\. It ended with: 'second'"):
        chat.invoke("second")
    with pytest.raises(BadInput, match=r"request 1 has no reply, none of the 1 replies left fits"):
        scripted({"text": "x", "when": "never said"}).invoke("?")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"txt": "a"}]', r"reply 1, txt: Extra inputs"),
        ('["a", {}]', r"reply 2: .*expected a text, tool_calls or an error"),
        ('[{"text": "a", "matching": "("}]', r"reply 1, matching: .*no regular expression"),
        ('[{"text": "a", "delay_s": -1}]', r"reply 1, delay_s"),
        ("[3]", r"reply 1: "),
        ("{}", r"expected a list of replies, got NoneType"),
        ("[]", r"expected at least one reply"),
        ("{", r"not valid json"),
    ],
)
def test_a_wrong_script_is_named_with_its_place(tmp_path, content, told):
    path = tmp_path / "script.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=told):
        open_scripted(path)


def test_yaml_builds_no_objects(tmp_path):
    path = tmp_path / "script.yaml"
    path.write_text("- !!python/object/apply:os.system ['true']\n")
    with pytest.raises(BadInput, match="not valid yaml"):
        open_scripted(path)


def test_no_such_script(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        open_scripted(tmp_path / "none.yaml")


def test_json_and_yaml_say_the_same(tmp_path):
    path = tmp_path / "script.json"
    path.write_text(json.dumps([{"text": "a"}, "b"]))
    chat = open_scripted(path)
    assert [chat.invoke("?").text, chat.invoke("?").text] == ["a", "b"]
