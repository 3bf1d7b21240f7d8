"""Tool calls of a local model: read strictly, asked for once more when wrong, told back in the form its template knows."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from taught import ANSWER, LOOK, PICTURE, prompt_of, text_of

from core.errors import BadInput, ModelOutputError


def test_a_tool_call_is_read_and_its_tags_are_not_streamed(qwen):
    bound = qwen.bind_tools([LOOK])
    answer = bound.invoke("Go.")
    chunks = list(bound.stream("Go."))
    assert answer.content == "One moment."
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("look", {"at_s": 3.5})]
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    assert not answer.response_metadata["repaired"]
    assert "".join(chunk.content for chunk in chunks).strip() == "One moment."
    assert [json.loads(chunk["args"]) for c in chunks for chunk in c.tool_call_chunks] == [{"at_s": 3.5}]


def test_a_wrong_call_is_asked_for_once_more(qwen):
    answer = qwen.bind_tools([LOOK]).invoke("Mend.")
    assert [call["args"] for call in answer.tool_calls] == [{"at_s": 3.5}]
    assert answer.response_metadata["repaired"]
    assert answer.usage_metadata["output_tokens"] > 40  # both attempts are counted


def test_a_call_that_stays_wrong_is_an_error(qwen):
    with pytest.raises(ModelOutputError, match=r"twice \(a <tool_call> is not closed"):
        qwen.bind_tools([LOOK]).invoke("Break.")


def test_without_tools_in_the_template_a_call_is_plain_json(smol):
    bound = smol.bind_tools([LOOK])
    assert [call["args"] for call in bound.invoke("Go.").tool_calls] == [{"at_s": 3.5}]
    assert "".join(chunk.content for chunk in bound.stream("Go.")) == ""
    assert bound.invoke("Say.").content == "".join(chunk.content for chunk in bound.stream("Say.")) == ANSWER
    assert bound.invoke("Mend.").response_metadata["repaired"]


def test_tools_results_and_calls_stand_in_the_prompt(qwen, smol):
    call = {"name": "look", "args": {"at_s": 1.0}, "id": "c1", "type": "tool_call"}
    history = [
        HumanMessage("Go."),
        AIMessage("", tool_calls=[call]),
        ToolMessage([{"type": "text", "text": "dark"}, PICTURE], tool_call_id="c1"),
    ]
    native = text_of(qwen, prompt_of(qwen, history, tools=[LOOK]))
    plain = text_of(smol, prompt_of(smol, history, tools=[LOOK]))
    assert "Show a time." in native
    assert '<tool_call>{"name": "look", "arguments": {"at_s": 1.0}}</tool_call>' in native
    assert "<tool_response>dark<|vision_start|>[6]<|vision_end|></tool_response>" in native
    assert "System: You can use these tools" in plain
    assert '{"calls": [{"name": "look", "arguments": {"at_s": 1.0}}]}' in plain
    assert "User: Result of look:\ndark" in plain


def test_an_unknown_tool_choice_is_refused(qwen):
    with pytest.raises(BadInput, match="tool_choice='listen'"):
        qwen.bind_tools([LOOK], tool_choice="listen").invoke("Go.")
