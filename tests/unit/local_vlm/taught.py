"""Tiny local models that were taught a few answers by heart, and what their prompts look like."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import tiny_vlm
from langchain_core.messages import AIMessage, HumanMessage

from models.chat.failures import AnswerCutOff
from models.chat.frames import frames_block
from models.chat.local_vlm import LocalVlm, open_local
from models.chat.messages import picture_block
from prompts.loader import render

RNG = np.random.default_rng(0)
PICTURE = picture_block(RNG.integers(0, 255, (64, 96, 3), np.uint8))
LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Show a time.",
        "parameters": {"type": "object", "properties": {"at_s": {"type": "number"}}, "required": ["at_s"]},
    },
}
SEEN = [HumanMessage([{"type": "text", "text": "What is wrong?"}, PICTURE])]
LARGE = [HumanMessage([{"type": "text", "text": "What is wrong?"}, picture_block(RNG.integers(0, 255, (512, 512, 3), np.uint8))])]
ANSWER = "The belt slips at 3.5 s."
GOOD = '<tool_call>{"name": "look", "arguments": {"at_s": 3.5}}</tool_call>'
BAD = '<tool_call>{"name": "look", "arguments": {"at_s": "soon"}}</tool_call>'
CUT = '<tool_call>{"name": "look"'
PLAIN = '{"calls": [{"name": "look", "arguments": {"at_s": 3.5}}]}'
PLAIN_CUT = '{"calls": [{"name": "look"'


def prompt_of(vlm: LocalVlm, messages, *, tools=(), room: int = 2_000):
    """The prompt exactly as the tier makes it."""
    vlm = vlm.model_copy(update={"max_context": room + vlm.max_tokens})
    return vlm._prompt(vlm.load(), messages, tools, None)


def text_of(vlm: LocalVlm, prompt) -> str:
    """The prompt as text, runs of picture tokens shortened to their number."""
    written = vlm.load().processor.tokenizer.decode(prompt.inputs["input_ids"][0])
    return re.sub(r"(?:<\|(?:image|video)_pad\|>)+|(?:<image>)+", lambda run: f"[{run[0].count('>')}]", written)


def repair(vlm: LocalVlm, question: str, written: str, problem: str, marked: bool):
    ask = render("tool_repair", problems=[problem], marked=marked, names=["look"])
    return [HumanMessage(question), AIMessage(written), HumanMessage(ask)]


def taught(folder: Path, build, lessons) -> LocalVlm:
    """A tiny model overfitted on (messages, tools, what to write), saved and opened like any other."""
    model, processor = build(folder)
    vlm = open_local(str(folder), max_tokens=60)
    prompts = [
        (prompt_of(vlm, messages, tools=tools, room=room[0] if room else 2_000).inputs, written)
        for messages, tools, written, *room in lessons(vlm)
    ]
    loss = tiny_vlm.teach(model, processor, prompts)
    assert loss < 0.05, loss
    copy = folder.with_name(folder.name + "-taught")
    shutil.copytree(folder, copy)
    model.save_pretrained(copy)
    return open_local(str(copy), max_tokens=60)


def ask(text: str):
    return [HumanMessage(text)]


NOT_A_NUMBER = "tool 'look': at at_s: 'soon' is not of type 'number'"
NOT_CLOSED = "a <tool_call> is not closed by </tool_call>"
NOT_JSON = "the output is not one JSON object: Expecting ',' delimiter at character 26"


def written(vlm: LocalVlm, message: HumanMessage) -> str:
    """What is written in 40 tokens, ended or not."""
    try:
        return str(vlm.model_copy(update={"max_tokens": 40}).invoke([message]).content)
    except AnswerCutOff as end:
        return end.partial


def clip(*times: float) -> dict:
    """A video of random frames at some times."""
    return frames_block([RNG.integers(0, 255, (32, 32, 3), np.uint8) for _ in times], times, name="gate.mp4")
