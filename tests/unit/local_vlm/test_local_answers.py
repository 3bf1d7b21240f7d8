"""A local model's answer: words and frames go in, text comes out in pieces, and its budgets end it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import tiny_vlm
from langchain_core.messages import HumanMessage
from taught import ANSWER, PICTURE, SEEN, clip, prompt_of, written

from core.errors import BudgetExceeded
from core.progress import watching
from models.chat.failures import AnswerCutOff
from models.chat.local_vlm import open_local
from models.chat.messages import picture_block


def test_an_answer_is_written_from_a_picture_and_timed(vlm):
    answer = vlm.invoke(SEEN)
    timing = answer.response_metadata["timing"]
    assert answer.content == ANSWER
    assert timing["tokens"] == answer.usage_metadata["output_tokens"] > 5
    assert 0 < timing["first_token_s"] < timing["total_s"]
    assert timing["tokens_per_s"] > 0
    assert answer.usage_metadata["input_tokens"] == prompt_of(vlm, SEEN).tokens
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["notes"] == []


def test_streaming_gives_the_same_text_in_pieces(vlm):
    chunks = list(vlm.stream(SEEN))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert sum(bool(chunk.content) for chunk in chunks) > 2
    assert whole.content == ANSWER
    assert whole.response_metadata["timing"]["tokens"] > 5


def test_the_picture_reaches_the_model(untaught):
    other = picture_block(np.zeros((64, 96, 3), np.uint8))

    mine, others = (HumanMessage([{"type": "text", "text": "What?"}, picture]) for picture in (PICTURE, other))
    assert written(untaught, mine) == written(untaught, mine) != written(untaught, others)


@pytest.mark.parametrize("build", [tiny_vlm.build_qwen, tiny_vlm.build_smol])
def test_frames_reach_the_model(build, tmp_path):
    build(tmp_path / "tiny")
    vlm = open_local(str(tmp_path / "tiny"))
    moving = HumanMessage([{"type": "text", "text": "What?"}, clip(0.0, 2.0, 4.0)])
    still = HumanMessage([{"type": "text", "text": "What?"}, clip(0.0, 2.0, 4.0)])
    assert written(vlm, moving) == written(vlm, moving) != written(vlm, still)  # the frames are random each time


def test_a_temperature_draws_different_answers(untaught):
    warm = untaught.model_copy(update={"temperature": 1.5})
    assert len({written(warm, HumanMessage("Hello")) for _ in range(4)}) > 1


def test_stop_texts_end_the_answer(qwen):
    assert qwen.invoke(SEEN, stop=["slips"]).content == "The belt slips"


def test_too_many_tokens_is_a_cut_off_answer_with_its_text(untaught):
    said = ""

    def follow() -> None:
        nonlocal said
        for chunk in untaught.stream("Hello"):
            said += chunk.content

    with pytest.raises(AnswerCutOff, match="not done after 40 tokens") as end:
        follow()
    assert said == end.value.partial != ""


def test_too_little_time_is_a_cut_off_answer(untaught):
    hurried = untaught.model_copy(update={"budget_s": 0.25, "max_tokens": 1500})
    slow = untaught.load().model.model.language_model.layers[0].register_forward_pre_hook(lambda *_: time.sleep(0.05))
    started = time.monotonic()
    try:
        with pytest.raises(AnswerCutOff, match="time ran out"):
            hurried.invoke("Hello")
    finally:
        slow.remove()
    assert time.monotonic() - started < 20
    assert no_thread()


def test_the_surrounding_budget_counts_and_progress_is_told(untaught):
    told = []
    slow = untaught.load().model.model.language_model.layers[0].register_forward_pre_hook(lambda *_: time.sleep(0.02))
    try:
        with watching(lambda what, done, total: told.append((what, done)), budget_s=0.4), pytest.raises(BudgetExceeded):
            untaught.model_copy(update={"max_tokens": 1500}).invoke("Hello")
    finally:
        slow.remove()
    assert {what for what, _ in told} == {"tokens"}
    assert no_thread()


def test_a_long_prompt_is_left_between_two_layers(untaught):
    layers = untaught.load().model.model.language_model.layers
    reached = []
    hooks = [
        layers[0].register_forward_pre_hook(lambda *_: time.sleep(0.6)),
        layers[1].register_forward_hook(lambda *_: reached.append(1)),
    ]
    try:
        with pytest.raises(AnswerCutOff) as end:
            untaught.model_copy(update={"budget_s": 0.2}).invoke("Hello")
    finally:
        for hook in hooks:
            hook.remove()
    assert reached == []
    assert end.value.partial == ""
    assert no_thread()


def test_a_stream_nobody_reads_ends_its_thread(untaught):
    stream = untaught.model_copy(update={"max_tokens": 1500}).stream("Hello")
    next(stream)
    stream.close()
    assert no_thread()
    assert not untaught.load().lock.locked()


def no_thread() -> bool:
    return not any(thread.name == "local-vlm" for thread in threading.enumerate())
