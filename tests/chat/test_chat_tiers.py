"""Names of tiers, and the parts all tiers share: tool calls as data, pictures, timing."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from core.errors import BadInput, ModelOutputError, ToolRetry, UnknownName
from models.chat.failures import BrokenAnswer, finished, one_line, reason
from models.chat.messages import picture_block, prepared
from models.chat.tiers import FORMS, Tier, open_chat
from models.chat.timing import Stopwatch
from models.chat.tool_calls import RawCall, read_calls
from models.chat.tool_text import calls_in, in_text, may_be_call

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "parameters": {"type": "object", "properties": {"at_s": {"type": "number"}}, "required": ["at_s"]},
        },
    }
]


@pytest.mark.parametrize(
    ("text", "kind", "name", "url"),
    [
        ("embedded", "embedded", "", ""),
        (" embedded ", "embedded", "", ""),
        ("local:Qwen/Qwen3-VL-2B-Instruct", "local", "Qwen/Qwen3-VL-2B-Instruct", ""),
        ("scripted:/tmp/a b.yaml", "scripted", "/tmp/a b.yaml", ""),
        ("scripted:C:\\a.yaml", "scripted", "C:\\a.yaml", ""),
        ("endpoint:qwen3-vl:2b@http://localhost:11434", "endpoint", "qwen3-vl:2b", "http://localhost:11434/v1"),
        ("endpoint:org/model@v2@https://api.example.org/v1", "endpoint", "org/model@v2", "https://api.example.org/v1"),
    ],
)
def test_names(text, kind, name, url):
    tier = Tier.parse(text)
    assert (tier.kind, tier.name, tier.url) == (kind, name, url)
    assert Tier.parse(str(tier)) == tier
    assert tier.describe().endswith(".")


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("embeded", UnknownName, "Did you mean 'embedded'"),
        ("", UnknownName, "Known: embedded, endpoint, local, scripted"),
        ("gpt-4", UnknownName, "Unknown model tier 'gpt-4'"),
        ("embedded:x", BadInput, "takes no name"),
        ("local:", BadInput, "expected local:NAME"),
        ("scripted", BadInput, "expected scripted:PATH"),
        ("endpoint:eyes", BadInput, r"server's address \(or set TELLTALE_ENDPOINT\) is missing"),
        ("endpoint:@http://localhost/v1", BadInput, "model's name is missing"),
        ("endpoint:eyes@http://user:pw@host/v1", BadInput, "no user, password or query"),
    ],
)
def test_wrong_names(text, kind, told):
    with pytest.raises(kind, match=told):
        Tier.parse(text)


def test_the_address_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TELLTALE_ENDPOINT", "http://127.0.0.1:8000")
    assert Tier.parse("endpoint:eyes").url == "http://127.0.0.1:8000/v1"
    assert open_chat("endpoint:eyes").model == "eyes"


def test_what_leaves_this_machine_is_said():
    assert [Tier.parse(text).warning() for text in ("embedded", "local:a/b", "scripted:x", "endpoint:a@http://[::1]:1/v1")] == [
        None
    ] * 4
    assert "sent to gpu.lan, unencrypted" in Tier.parse("endpoint:a@http://gpu.lan:8000/v1").warning()
    assert Tier.parse("endpoint:a@https://api.example.org/v1").warning().endswith("sent to api.example.org, encrypted.")


def test_embedded_has_no_chat_model():
    assert open_chat("embedded") is None
    assert set(FORMS) == {"embedded", "local", "endpoint", "scripted"}


def test_reading_names_loads_no_model_library():
    code = (
        "import sys; from models.chat.tiers import Tier; Tier.parse('local:a/b').describe();"
        "print([m for m in ('langchain_core', 'openai', 'torch', 'transformers', 'pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_reason_is_one_line_and_hides_foreign_words():
    assert reason(BrokenAnswer("it fell\nsilent.", partial="The")) == "it fell silent"
    assert reason(ValueError("secret path")) == "it failed with ValueError"
    assert issubclass(BrokenAnswer, ModelOutputError)


@given(st.text(max_size=400))
def test_one_line_is_one_line(text):
    line = one_line(text, longest=80)
    assert len(line) <= 80
    assert line.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at_s", "name", "x"]), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | JSON.map(json.dumps), st.sampled_from(["look", "erase", ""]))
def test_a_call_is_right_or_refused_with_a_reason(arguments, name):
    problem = ""
    try:
        (call,) = read_calls([RawCall(name=name, arguments=arguments)], TOOLS)
    except ToolRetry as error:
        problem = str(error)
    if problem:
        assert "\n" not in problem
        assert problem.startswith("tool ")
    else:
        assert name == "look"
        assert set(call["args"]) == {"at_s"}
        assert np.isfinite(call["args"]["at_s"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"at_s": 1, "at_s": 2}', "'at_s' is given twice"),
        ("[" * 100_000, "nested too deeply|characters of arguments"),
        ("[" * 50_000, "nested too deeply"),
        ('{"at_s": "\\ud800"}', "half a character"),
        ("x" * 200_000, "200,000 characters"),
    ],
)
def test_hostile_arguments(arguments, told):
    with pytest.raises(ToolRetry, match=told):
        read_calls([RawCall(name="look", arguments=arguments)], TOOLS)


def test_a_schema_that_points_to_the_net_fetches_nothing():
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"$ref": "http://192.0.2.1/schema.json"}}}]
    with pytest.raises(Exception, match=r"192\.0\.2\.1") as caught:
        read_calls([RawCall(name="look", arguments="{}")], tools)
    assert "Unresolvable" in type(caught.value).__name__ or "Unresolvable" in repr(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | JSON.map(json.dumps))
def test_text_is_never_a_call_of_an_unknown_tool(text):
    for call in calls_in(text, ["look"]):
        assert call.name == "look"


CALLS = ['{"calls": [{"name": "look", "arguments": {}}]}', '```json\n{"name": "look"}\n```', "<tool_call>{}</tool_call>"]


@given(st.sampled_from(CALLS), st.integers(0, 60))
def test_the_beginning_of_a_call_is_held_back(text, n):
    assert may_be_call(text[:n])


def test_tools_in_text_tell_earlier_calls():
    call = AIMessage("First a look.", tool_calls=[{"name": "look", "args": {"at_s": 1}, "id": "1"}])
    told = in_text([HumanMessage("?"), call], TOOLS)
    assert '{"calls": [{"name": "look", "arguments": {}}]}'.replace("look", "TOOL") in told[0].text
    assert told[2].tool_calls == []
    assert told[2].text == 'First a look.\n{"calls": [{"name": "look", "arguments": {"at_s": 1}}]}'


def test_prepared_leaves_the_given_messages_alone():
    message = HumanMessage(["at 1 s:", picture_block(np.zeros((64, 32, 3), np.uint8))])
    before = message.model_dump_json()
    prepared([message], max_side=16)
    assert message.model_dump_json() == before


def test_transparent_pictures_are_shown_on_white():
    import base64
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save(buffer, "PNG")
    block = {"type": "image", "base64": base64.b64encode(buffer.getvalue()).decode(), "mime_type": "image/png"}
    (sent,) = prepared([HumanMessage([block])], max_side=20)[0].content
    picture = Image.open(io.BytesIO(base64.b64decode(sent["image_url"]["url"].split(",")[1])))
    assert (picture.size, picture.mode, picture.getpixel((5, 5))) == ((20, 10), "RGB", (255, 255, 255))


def test_a_picture_too_large_is_refused_by_its_header(monkeypatch):
    import core.settings

    core.settings.limits.cache_clear()
    monkeypatch.setenv("TELLTALE_MAX_IMAGE_PIXELS", "100")
    try:
        with pytest.raises(BadInput, match="20 × 20 pixels"):
            prepared([HumanMessage([picture_block(np.zeros((20, 20, 3), np.uint8))])])
    finally:
        core.settings.limits.cache_clear()


def test_a_stopwatch_without_tokens():
    timing = Stopwatch(clock=iter([0.0, 2.0]).__next__).read()
    assert (timing.first_token_s, timing.tokens, timing.tokens_per_s) == (2.0, 0, 0.0)


@pytest.mark.parametrize(
    ("half", "whole"),
    [
        ("The belt slips [E2]. It is at 3.", "The belt slips [E2]."),
        ("It is at 3.5 s [E2]. Then", "It is at 3.5 s [E2]."),
        ("One line.\nAnother li", "One line."),
        ("", ""),
        ("no end", ""),
    ],
)
def test_of_a_half_answer_the_finished_sentences_stay(half, whole):
    assert finished(half) == whole
