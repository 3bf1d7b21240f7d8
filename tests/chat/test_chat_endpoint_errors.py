"""What goes wrong with a model server is told in one clear sentence, and the key is told to nobody but the server."""

import email.utils
import json
import logging
import socket
import time
import traceback

import httpx2
import openai
import pytest
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage
from openai_loopback import deltas, lines, say, status
from pydantic import SecretStr

from core.errors import BadInput, ModelOutputError, TelltaleError, UnknownName, UserError
from models.chat.connection import Address, key_for, without_key
from models.chat.endpoint import open_endpoint
from models.chat.endpoint_errors import retry_after
from models.chat.endpoint_stream import Patience
from models.chat.failures import BrokenAnswer

KEY = "sk-telltale-0123456789abcdef"


def ask(server, **options):
    return open_endpoint("eyes", server.url, **{"first_wait_s": 0.01, "attempts": 2, **options}).invoke("?")


@pytest.mark.parametrize(
    ("step", "kind", "told"),
    [
        (status(400, "This model's maximum context length is 4096 tokens"), BadInput, "too long for model 'eyes'"),
        (status(400, "the request exceeds the available context size"), BadInput, "too long"),
        (status(413, "entity too large"), BadInput, "too long"),
        (status(400, "eyes is not a multimodal model"), BadInput, "takes no pictures"),
        (status(500, "image input is not supported - hint: provide the mmproj"), BadInput, "takes no pictures"),
        (status(400, "temperature must be below 2"), BadInput, r"HTTP 400: temperature must be below 2"),
        (status(403, "not for you"), UserError, "refused access"),
        (status(307, "", Location="http://192.0.2.1/v1/chat/completions"), UserError, "points to another address"),
        (
            lines("<html>welcome</html>", content_type="text/html"),
            ModelOutputError,
            "nothing that belongs to the OpenAI protocol",
        ),
        (
            deltas({"role": "assistant"}, finish=None),
            ModelOutputError,
            "ended the answer before it was complete after 2 attempts",
        ),
        (lines("data: {not json\n\n"), ModelOutputError, "not the JSON of the OpenAI protocol"),
        (lines("data: [1, 2]\n\n"), ModelOutputError, "not the JSON of the OpenAI protocol"),
        (lines('data: {"choices": "none"}\n\n'), ModelOutputError, "not the JSON of the OpenAI protocol"),
        (lines('data: {"choices": [{"delta": "text"}]}\n\n'), ModelOutputError, "not the JSON of the OpenAI protocol"),
        (lines('data: {"error": {"message": "Input exceeds the context window"}}\n\n'), BadInput, "too long"),
        (deltas({"refusal": "I cannot help with that."}), ModelOutputError, "refused to answer: I cannot help with that"),
        (deltas(finish="content_filter"), ModelOutputError, "refused to answer"),
        (say(""), ModelOutputError, "gave an empty answer"),
        (say("", finish="length"), ModelOutputError, "used up its tokens before the first word"),
    ],
)
def test_each_failure_has_its_sentence(server, step, kind, told):
    server.will(step, step)
    with pytest.raises(kind, match=told) as caught:
        ask(server)
    text = str(caught.value)
    assert text.count("\n") == 0
    assert "Traceback" not in text
    assert len(text) < 500


def test_a_refusal_after_words_is_a_broken_answer(server):
    server.will(deltas({"content": "The person is "}, finish="content_filter"))
    with pytest.raises(BrokenAnswer, match="refused") as caught:
        ask(server)
    assert caught.value.partial == "The person is "


def test_an_answer_cut_by_its_length_says_so(server):
    server.will(say("The belt stops at", finish="length"))
    assert ask(server).response_metadata["finish_reason"] == "length"


def test_a_long_or_dirty_message_of_the_server_becomes_one_line(server):
    server.will(status(400, "bad\n\x1b[31m" + "x" * 5000))
    with pytest.raises(BadInput) as caught:
        ask(server)
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)


def test_an_unknown_model_lists_those_served(server):
    server.http.models = ["qwen3-vl-2b", "smolvlm2"]
    with pytest.raises(UnknownName, match=r"'qwen3-vl'\. Did you mean 'qwen3-vl-2b'\? Known: qwen3-vl-2b, smolvlm2"):
        open_endpoint("qwen3-vl", server.url).invoke("?")
    with pytest.raises(UnknownName, match="smolvlm2"):
        open_endpoint("qwen3-vl", server.url).check()


def test_a_wrong_path_says_what_addresses_look_like(server):
    with pytest.raises(UserError, match="often ends in /v1"):
        open_endpoint("eyes", server.url + "/chat").invoke("?")


def test_check_passes_and_sends_nothing_of_the_chat(server):
    open_endpoint("eyes", server.url).check()
    assert server.requests == []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_no_server():
    url = f"http://127.0.0.1:{free_port()}/v1"
    for call in (lambda chat: chat.invoke("?"), lambda chat: chat.check()):
        with pytest.raises(UserError, match=r"cannot be reached\. Start it, or check the address"):
            call(open_endpoint("eyes", url))


def test_a_server_that_refuses_the_connection_is_not_waited_for():
    chat = open_endpoint("eyes", f"http://127.0.0.1:{free_port()}/v1")
    chat.attempts, start = 4, time.monotonic()
    with pytest.raises(UserError, match=r"cannot be reached\."):
        chat.invoke("?")
    assert time.monotonic() - start < chat.first_wait_s


TOO_LONG = status(400, "This model's maximum context length is 4096 tokens")


def pictures(n):
    from numpy import full

    from models.chat.messages import picture_block

    return [picture_block(full((600, 800, 3), 20 * i, "uint8")) for i in range(n)]


def test_pictures_give_way_until_the_question_fits(server):
    server.will(TOO_LONG, TOO_LONG, TOO_LONG, say("ok"))
    answer = open_endpoint("eyes", server.url).invoke([HumanMessage([{"type": "text", "text": "which?"}, *pictures(4)])])
    sent = [[block["type"] for block in request.messages[0]["content"]] for request in server.requests]
    assert [kinds.count("image_url") for kinds in sent] == [4, 4, 2, 1]
    assert len(json.dumps(server.requests[1].body)) < len(json.dumps(server.requests[0].body))
    assert sent[3] == ["text", "text", "text", "text", "image_url"]  # the newest stays, the others are said to be left out
    assert "left out here" in server.requests[3].messages[0]["content"][1]["text"]
    assert answer.response_metadata["notes"] == ["Of 4 pictures the oldest 3 left out."]


def test_words_never_give_way(server):
    server.will(*[TOO_LONG] * 4)
    with pytest.raises(BadInput, match="too long"):
        open_endpoint("eyes", server.url).invoke([HumanMessage([{"type": "text", "text": "which?"}, *pictures(1)])])
    assert len(server.requests) == 3  # as it is, smaller, without
    assert all("which?" in json.dumps(request.body) for request in server.requests)


def test_no_connection_in_time():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # a full queue: further connections hang
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        start = time.monotonic()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        with pytest.raises(UserError, match=r"no connection to .* within 0\.2 s"):
            open_endpoint("eyes", url, patience=Patience(connect_s=0.2), attempts=1).invoke("?")
        assert time.monotonic() - start < 10
        for one in waiting:
            one.close()


# the key


def everything_printed(error):
    """All an error could show: its chain with texts and reprs."""
    shown = ["".join(traceback.format_exception(error))]
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


def test_the_key_reaches_the_server_and_nothing_else(server, monkeypatch, caplog, capfd):
    monkeypatch.setenv("TELLTALE_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server.http.key = KEY
    server.will(say("ok", usage=1), status(503, f"key {KEY} is busy"), say("ok"))
    chat = open_endpoint("eyes", server.url, first_wait_s=0.01)
    answers = [chat.invoke("?"), chat.invoke("?")]
    assert [answer.text for answer in answers] == ["ok", "ok"]
    chat.check()
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    out = capfd.readouterr()
    everything = [
        repr(chat), str(chat), json.dumps(chat.model_dump(mode="json")), dumps(chat), repr(vars(chat)), str(chat.to_json()),
        str(chat._identifying_params), repr(answers), caplog.text, str([vars(record) for record in caplog.records]), out.out, out.err,
    ]  # fmt: skip
    assert any("Trying again" in record.getMessage() for record in caplog.records)
    assert KEY not in "\n".join(everything)


def test_a_refused_key_is_not_repeated(server, monkeypatch, caplog):
    monkeypatch.setenv("TELLTALE_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server.http.key = "another"
    with pytest.raises(UserError, match=r"refused access \(HTTP 401: .*\[key\].* Check the key in TELLTALE_API_KEY") as caught:
        ask(server)
    assert KEY not in everything_printed(caught.value)
    assert KEY not in caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_missing_key_says_where_it_goes(server):
    server.http.key = KEY
    with pytest.raises(UserError, match="It wants a key: set TELLTALE_API_KEY"):
        ask(server)
    assert "authorization" not in server.requests[0].headers


def test_words_refused_with_the_key_in_them_are_cleaned(server, monkeypatch):
    monkeypatch.setenv("TELLTALE_API_KEY", KEY)
    server.will(deltas({"refusal": f"not with {KEY}"}))
    with pytest.raises(ModelOutputError, match=r"not with \[key\]"):
        ask(server)


def test_nothing_about_this_machine_or_of_the_environment_is_sent(server, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "ambient")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Ambient: ambient\nAuthorization: ambient")
    server.will(say("ok"))
    ask(server)
    headers = server.requests[0].headers
    assert "ambient" not in str(headers)
    assert headers["user-agent"] == "telltale"
    assert set(headers) <= {
        "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding", "user-agent",
    }  # fmt: skip


def test_a_proxy_is_not_asked_for_this_machine(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    server.will(say("ok"))
    assert ask(server).text == "ok"


def test_which_key_goes_where(monkeypatch):
    here, clear, safe = (Address.parse(u) for u in ("http://localhost:1", "http://gpu.example.org", "https://api.example.org"))
    assert key_for(safe) is None
    monkeypatch.setenv("OPENAI_API_KEY", "from-openai")
    assert key_for(here).get_secret_value() == "from-openai"
    assert key_for(safe).get_secret_value() == "from-openai"
    assert key_for(clear) is None, "a key set for another purpose never travels in the clear"
    monkeypatch.setenv("TELLTALE_API_KEY", " mine\n")
    assert key_for(clear).get_secret_value() == "mine"
    monkeypatch.setenv("TELLTALE_API_KEY", "two\nlines")
    with pytest.raises(BadInput, match="line break") as caught:
        key_for(safe)
    assert "two" not in str(caught.value)


def test_parts_of_a_key_are_hidden_too():
    assert without_key(f"key {KEY[:8]}***{KEY[-8:]}", SecretStr(KEY)) == "key [key]***[key]"


# addresses


@pytest.mark.parametrize(
    ("text", "url", "here"),
    [
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", True),
        ("http://localhost:11434", "http://localhost:11434/v1", True),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1", True),
        ("https://api.example.org/openai/v1", "https://api.example.org/openai/v1", False),
        ("http://127.0.0.1.example.org/v1", "http://127.0.0.1.example.org/v1", False),
        ("http://10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1", False),
        ("http://0.0.0.0:8000/v1", "http://0.0.0.0:8000/v1", False),
    ],
)
def test_addresses(text, url, here):
    address = Address.parse(text)
    assert (address.url, address.on_this_machine) == (url, here)
    assert (address.warning() is None) is here


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://user:secret@host/v1",
        "https://host/v1?key=secret",
        "http://h:99999/v1",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_secrets(text):
    with pytest.raises(BadInput) as caught:
        Address.parse(text)
    assert "secret" not in str(caught.value)


def test_retry_after_reads_seconds_and_dates():
    def told(value):
        response = httpx2.Response(429, headers={"Retry-After": value}, request=httpx2.Request("POST", "http://h/"))
        return retry_after(openai.RateLimitError("", response=response, body=None), now=lambda: 1000.0)

    assert told("2.5") == 2.5
    assert told(email.utils.formatdate(1030, usegmt=True)) == pytest.approx(30)
    assert told(email.utils.formatdate(10, usegmt=True)) == 0
    assert [told(value) for value in ("soon", "", "nan", "inf")] == [None] * 4


def test_all_are_telltale_errors(server):
    server.will(lines("data: \xff\xfe\n\n"), lines("data: \xff\n\n"))
    with pytest.raises(TelltaleError):
        ask(server)


def test_pictures_are_not_logged(server, caplog):
    from numpy import zeros

    from models.chat.messages import picture_block

    caplog.set_level(logging.DEBUG)
    block = picture_block(zeros((8, 8, 3), "uint8"))
    server.will(say("ok"))
    open_endpoint("eyes", server.url).invoke([HumanMessage([block])])
    assert caplog.records
    assert block["base64"][:40] not in caplog.text
