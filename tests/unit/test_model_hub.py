"""Listing, pulling and verifying hub models against a hub on the loopback: cut connections, damaged files, killed pulls, no network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import BadInput, UnknownName
from core.progress import watching
from models.chat import hub_pull
from models.chat.hub import find_model, folder_of, installed_models, known_models, staging_of, verify
from models.chat.hub_pull import pull
from ui.cli import main

ROOT = Path(__file__).parents[2]
REPO = "someone/tiny-vlm"
COMMITS = {"main": "a" * 40, "older": "b" * 40}
WEIGHTS = bytes(range(256)) * 4000
FILES = {
    "config.json": b'{"model_type": "qwen3_vl"}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": WEIGHTS,
    "LICENSE": b"Apache",
    # what must stay there
    "pytorch_model.bin": b"\x80\x04pickle",
    "modeling_evil.py": b"print('evil')",
    "onnx/model.safetensors": b"other",
    ".gitattributes": b"*.safetensors lfs",
}
TAKEN = {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors", "LICENSE"}


class Hub:
    """A hub with one repository; `served` may differ from `files` (what it states), `budget` cuts the weights off."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.served: dict[str, bytes] = {}
        self.budget: int | None = None
        self.slow_s = 0.0
        self.ranges = True
        self.asked: list[tuple[str, str]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        about = re.fullmatch(rf"/api/models/{REPO}(?:/revision/(.+))?", path)
        file = re.fullmatch(rf"/{REPO}/resolve/([0-9a-f]+)/(.+)", path)
        if about:
            self.about(request, about[1] or "main")
        elif file:
            self.send(request, file[2])
        else:
            self.refuse(request, "RepoNotFound")

    def about(self, request: BaseHTTPRequestHandler, revision: str) -> None:
        commit = COMMITS.get(revision, revision if revision in COMMITS.values() else "")
        if not commit:
            self.refuse(request, "RevisionNotFound")
            return
        siblings = []
        for name, data in self.files.items():
            row = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
            if name.endswith((".safetensors", ".bin")):
                row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(row)
        body = json.dumps({
            "id": REPO, "sha": commit, "siblings": siblings, "cardData": {"license": "apache-2.0"}, "tags": [], "private": False,
            "downloads": 0, "likes": 0,
        }).encode()  # fmt: skip
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def send(self, request: BaseHTTPRequestHandler, name: str) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append((name, wanted))
        data = self.served.get(name, self.files[name])
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0
        body = data[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        if name == "model.safetensors" and self.budget is not None:
            body, self.budget = body[: self.budget], max(0, self.budget - len(body))
            request.close_connection = True
        for at in range(0, len(body), 100_000):
            request.wfile.write(body[at : at + 100_000])
            time.sleep(self.slow_s)

    def refuse(self, request: BaseHTTPRequestHandler, code: str) -> None:
        request.send_response(404)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def weight_ranges(self) -> list[int]:
        return [int(wanted.removeprefix("bytes=").rstrip("-")) for name, wanted in self.asked if name == "model.safetensors"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    made = Hub()
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_pull, "PAUSE_S", 0.0)
    yield made
    made.close()


# pulling


def test_a_model_is_pulled_verified_and_pinned(hub):
    told = []
    with watching(lambda what, done, total: told.append((what, done, total))):
        model = pull(REPO)
    folder = folder_of(REPO)
    assert {path.name for path in folder.iterdir()} == TAKEN | {"telltale.json"}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (model.revision, model.licence) == (COMMITS["main"], "apache-2.0")
    assert model.size == sum(len(FILES[name]) for name in TAKEN)
    assert [m.repo for m in installed_models()] == [REPO]
    assert find_model(REPO) == (REPO, folder)
    assert told[-1] == ("MB", 1, 1)
    assert not staging_of(REPO).exists()


def test_an_installed_model_needs_no_network(hub):
    pull(REPO)
    hub.close()
    asked = len(hub.asked)
    assert pull(REPO).revision == COMMITS["main"]
    assert len(hub.asked) == asked


def test_another_revision_replaces_the_model_and_keeps_equal_files(hub):
    pull(REPO)
    hub.files["config.json"] = b'{"model_type": "smolvlm"}'
    hub.asked.clear()
    assert pull(REPO, revision="older").revision == COMMITS["older"]
    assert {name for name, _ in hub.asked} == {"config.json"}
    verify(folder_of(REPO))


def test_a_cut_connection_is_taken_up_again_at_once(hub):
    hub.budget = 300_000
    answer = hub.send

    def healing(request, name):
        answer(request, name)
        if name == "model.safetensors":
            hub.budget = None

    hub.send = healing
    pull(REPO)
    assert hub.weight_ranges() == [0, 300_000]
    assert (folder_of(REPO) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_pull_that_failed_goes_on_where_it_stopped(hub):
    hub.budget = 300_000
    with pytest.raises(BadInput, match="what has arrived is kept"):
        pull(REPO)
    with pytest.raises(UnknownName, match="not installed"):
        find_model(REPO)
    hub.budget = None
    hub.asked.clear()
    pull(REPO)
    assert hub.weight_ranges() == [300_000]
    assert {name for name, _ in hub.asked} == {"model.safetensors"}
    verify(folder_of(REPO))


def test_a_killed_pull_goes_on_where_it_stopped(hub):
    hub.slow_s = 0.2
    code = f"from models.chat.hub_pull import pull; pull({REPO!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "0"})
    try:
        deadline = time.monotonic() + 60
        while (
            not (parts := [p for p in staging_of(REPO).glob("*.part") if p.stat().st_size > 100_000])
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert parts
    kept = parts[0].stat().st_size
    assert 0 < kept < len(WEIGHTS)
    hub.slow_s = 0.0
    hub.asked.clear()
    pull(REPO)
    assert hub.weight_ranges() == [kept]
    verify(folder_of(REPO))


def test_a_hub_without_ranges_starts_over(hub):
    hub.budget, hub.ranges = 300_000, False
    with pytest.raises(BadInput):
        pull(REPO)
    hub.budget = None
    pull(REPO)
    assert (folder_of(REPO) / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_is_refused_and_thrown_away(hub, name):
    hub.served[name] = bytes([FILES[name][0] ^ 1]) + FILES[name][1:]
    with pytest.raises(BadInput, match=rf"'{name}' of '{REPO}' arrived damaged \(expected (sha256|git sha1)"):
        pull(REPO)
    assert not list(staging_of(REPO).glob("*.part"))
    assert not folder_of(REPO).exists()
    hub.served.clear()
    pull(REPO)
    verify(folder_of(REPO))


def test_a_damaged_half_on_this_disk_is_pulled_anew(hub):
    hub.budget = 300_000
    with pytest.raises(BadInput):
        pull(REPO)
    part = next(p for p in staging_of(REPO).glob("*.part") if p.stat().st_size)
    part.write_bytes(b"x" * 300_000)
    hub.budget = None
    pull(REPO)
    assert hub.weight_ranges()[-2:] == [300_000, 0]
    verify(folder_of(REPO))


def test_a_file_longer_than_stated_is_refused(hub):
    hub.served["model.safetensors"] = WEIGHTS + b"more"
    with pytest.raises(BadInput, match="longer than the hub says"):
        pull(REPO)


def test_weights_only_as_pickle_are_not_pulled(hub):
    del hub.files["model.safetensors"]
    with pytest.raises(BadInput, match=r"no \.safetensors weights"):
        pull(REPO)
    assert hub.asked == []


def test_too_little_disk_is_said_before_the_first_byte(hub, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(BadInput, match=r"needs 0.3 GB more on disk, 0.0 GB are free"):
        pull(REPO)
    assert hub.asked == []


def test_two_pulls_of_one_model_do_not_mix(hub):
    from filelock import FileLock

    staging_of(REPO).mkdir(parents=True)
    with FileLock(staging_of(REPO).with_suffix(".lock")), pytest.raises(BadInput, match="another process"):
        pull(REPO)


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        ("someone/other", None, "there is no public model 'someone/other'"),
        (REPO, "v9", "has no revision 'v9'"),
        ("qwen3-vl-2", None, "Did you mean 'qwen3-vl-2b'"),
        ("../etc/passwd", None, "Unknown model"),
    ],
)
def test_what_is_not_there_is_named(hub, name, revision, said):
    with pytest.raises((BadInput, UnknownName), match=said):
        pull(name, revision=revision)


# verifying


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" + WEIGHTS[1:-1] + b"\0"), "damaged or altered"),
        (lambda folder: (folder / "config.json").unlink(), "'config.json' .* is missing"),
        (lambda folder: (folder / "extra.safetensors").write_bytes(b""), "files that were not pulled"),
        (lambda folder: (folder / "telltale.json").write_text("{"), "manifest .* is damaged"),
    ],
)
def test_a_model_that_changed_after_the_pull_is_refused(hub, spoil, said):
    pull(REPO)
    spoil(folder_of(REPO))
    with pytest.raises(BadInput, match=said):
        verify(folder_of(REPO))


def test_pulling_again_mends_what_was_damaged(hub):
    pull(REPO)
    weights = folder_of(REPO) / "model.safetensors"
    weights.write_bytes(b"\1" + WEIGHTS[1:])
    hub.asked.clear()
    pull(REPO)
    assert weights.read_bytes() == WEIGHTS
    assert {name for name, _ in hub.asked} == {"model.safetensors"}


def test_a_pulled_model_is_verified_when_it_is_loaded(hub, tmp_path):
    import tiny_vlm

    from models.chat.local_vlm import open_local

    tiny_vlm.build_qwen(tmp_path / "built")
    hub.files = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    pull(REPO)
    assert open_local(REPO).load().native_tools
    weights = folder_of(REPO) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BadInput, match="damaged or altered"):
        open_local(REPO, device="cpu").load()


# the command line


def telltale(capsys, *args: str):
    with pytest.raises(SystemExit) as end:
        main(list(args))
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_list_shows_what_is_known_and_what_is_here(hub, capsys):
    pull(REPO)
    _, out, _ = telltale(capsys, "models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert {model.name for model in known_models()} < set(rows)
    assert not rows["qwen3-vl-4b"]["installed"]
    assert rows["qwen3-vl-4b"]["memory_gb"] > rows["qwen3-vl-4b"]["memory_nf4_gb"] > rows["smolvlm2-256m"]["memory_nf4_gb"]
    here = rows[REPO]
    assert (here["installed"], here["verified"], here["licence"], here["megabytes"]) == (True, True, "apache-2.0", 1.0)
    (folder_of(REPO) / "tokenizer.json").unlink()
    _, table, _ = telltale(capsys, "models", "list")
    line = next(line for line in table.splitlines() if line.startswith(REPO))
    assert "NO" in line
    assert "damaged: tokenizer.json" in line


def test_pull_says_what_came(hub, capsys):
    code, out, err = telltale(capsys, "models", "pull", REPO)
    assert (code, out) == (0, "")
    assert f"{REPO}: 5 files, 1.0 MB, verified, commit aaaaaaaaaaaa, licence apache-2.0" in err


def test_offline_is_one_clear_sentence(hub, capsys, monkeypatch):
    hub.close()
    monkeypatch.setattr("models.chat.hub_pull.RETRIES", 1)
    code, out, err = telltale(capsys, "models", "pull", "smolvlm2-256m")
    assert (code, out) == (2, "")
    assert err.startswith(f"telltale: no connection to {hub.url}")
    assert err.count("\n") == 1
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = telltale(capsys, "models", "pull", "smolvlm2-256m")
    assert code == 2
    assert err.startswith("telltale: offline mode is on (HF_HUB_OFFLINE)")
