"""Pull a model from the Hugging Face hub: only safetensors, tokenizer and settings files, resumable, verified, pinned to a commit.

Files grow as `<hash>.part` in a folder of their own; a pull that was cut off goes on at the byte where it stopped (huggingface_hub 2
throws partial files away, so the bytes are fetched here by ranges). Each finished file must have the size and the hash that the hub
states for it (sha256 of large files, git's sha1 of small ones); only then is it kept, and only with all files does the model appear.
`HF_ENDPOINT` names another hub; `HF_HUB_OFFLINE=1` forbids the network.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.archive import write_atomic
from core.errors import BadInput
from core.progress import step
from core.weights import file_sha256
from models.chat.hub import MANIFEST, InstalledModel, PulledFile, folder_of, read_manifest, repo_of, staging_of, verify

KINDS = frozenset((".safetensors", ".json", ".jinja", ".txt", ".model", ".md"))
"""What is pulled: weights without code, settings, templates, vocabularies, the model's card. Never pickles, never programs."""
ENDPOINT = "https://huggingface.co"
RETRIES = 5
PAUSE_S = 1.0
"""Before a broken connection is tried again."""
TIMEOUT_S = 30.0
SPARE_BYTES = 2**28
_NAME = re.compile(r"\w[\w.-]*|LICENSE|NOTICE")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file as the hub states it."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None

    @property
    def part(self) -> str:
        """Name of the growing file: bound to the content, so that two versions never mix."""
        return f"{(self.sha256 or self.git_sha1 or '')[:40]}.part"

    def problem(self, path: Path) -> str:
        """What is wrong with the bytes in `path`, or ""."""
        size = path.stat().st_size
        if size != self.size:
            return f"expected {self.size:,} bytes, got {size:,}"
        if self.sha256 is not None:
            found, expected, kind = file_sha256(path), self.sha256, "sha256"
        else:
            content = path.read_bytes()
            found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            expected, kind = str(self.git_sha1), "git sha1"
        return "" if found == expected else f"expected {kind} {expected[:12]}…, got {found[:12]}…"


def pull(name: str, *, revision: str | None = None) -> InstalledModel:
    """Install a model by short name or "owner/name"; an installed one that is whole is left as it is, without any network.

    Progress goes to `core.progress` in megabytes.

    Args:
        name: as in `telltale models list`, or "owner/name" of the hub.
        revision: commit, branch or tag; what it means today is pinned. Default: the installed commit, else the main branch.

    Raises:
        UnknownName: no such short name.
        BadInput: no connection, no such repository or revision, no access, no safetensors weights, too little disk space, another pull
            of it running, or a file that is not what the hub says.
    """
    from filelock import FileLock, Timeout

    repo = repo_of(name)
    final = folder_of(repo)
    staging = staging_of(repo)
    staging.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(staging.with_suffix(".lock"), timeout=0):
            return _pull(repo, revision, final, staging)
    except Timeout as error:
        raise BadInput(f"model {name!r} is being pulled by another process; wait for it to end.") from error


def _pull(repo: str, revision: str | None, final: Path, staging: Path) -> InstalledModel:
    installed = read_manifest(final) if final.is_dir() else None
    if installed is not None and revision in (None, installed.revision):
        try:
            verify(final)
        except BadInput:
            revision = installed.revision
        else:
            shutil.rmtree(staging)
            return installed
    with _hub(repo, revision):
        commit, licence, files = _listing(repo, revision)
        _check_room(staging, files)
        total = sum(file.size for file in files)
        done = 0
        for file in files:
            _fetch(repo, commit, file, staging, final, done, total)
            done += file.size
    step("MB", total // 10**6, total // 10**6)
    pulled = tuple(PulledFile(name=file.name, size=file.size, sha256=file_sha256(staging / file.name)) for file in files)
    model = InstalledModel(title=repo, folder=final, repo=repo, revision=commit, licence=licence, files=pulled)
    for path in staging.iterdir():
        if path.name not in {file.name for file in files}:
            path.unlink()
    write_atomic(staging / MANIFEST, _manifest(model))
    if final.exists():
        shutil.rmtree(final)
    os.replace(staging, final)
    return read_manifest(final) or model


def _listing(repo: str, revision: str | None) -> tuple[str, str, list[RemoteFile]]:
    """Commit, licence and the files to pull, small ones first."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=_endpoint()).model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    files = [
        RemoteFile(
            name=entry.rfilename,
            size=int(entry.size or 0),
            sha256=entry.lfs.sha256 if entry.lfs else None,
            git_sha1=entry.blob_id,
        )
        for entry in info.siblings or ()
        if _NAME.fullmatch(entry.rfilename)
        and (Path(entry.rfilename).suffix in KINDS or entry.rfilename in ("LICENSE", "NOTICE"))
    ]
    if not any(file.name.endswith(".safetensors") for file in files):
        raise BadInput(
            f"model {repo!r} has no .safetensors weights at the top of its repository; pickled weights are not pulled."
        )
    if nameless := [file.name for file in files if not (file.sha256 or file.git_sha1)] or not info.sha:
        raise BadInput(f"the hub states no hash for {nameless if info.sha else repo!r}; what cannot be verified is not pulled.")
    card: Any = info.card_data or {}
    licence = str(card.get("license") or "not stated")
    return str(info.sha), licence, sorted(files, key=lambda file: file.size)


def _fetch(repo: str, commit: str, file: RemoteFile, staging: Path, final: Path, done: int, total: int) -> None:
    """Bring one file into `staging`, whole and verified: kept from before, taken from the installed model, or downloaded."""
    path, part = staging / file.name, staging / file.part
    for kept in (path, final / file.name):
        if kept.is_file() and not file.problem(kept):
            if kept != path:
                shutil.copyfile(kept, path)
            return
    path.unlink(missing_ok=True)
    resumed = part.is_file() and part.stat().st_size > 0
    _download(repo, commit, file, part, done, total)
    problem = file.problem(part)
    if problem and resumed:  # the older half may have been damaged on this disk: once more from the start
        part.unlink()
        _download(repo, commit, file, part, done, total)
        problem = file.problem(part)
    if problem:
        part.unlink()
        raise BadInput(
            f"{file.name!r} of {repo!r} arrived damaged ({problem}) and was thrown away. Pull again; nothing else is lost."
        )
    os.replace(part, path)


def _download(repo: str, commit: str, file: RemoteFile, part: Path, done: int, total: int) -> None:
    """Append the missing bytes to `part`, going on where the connection breaks as long as each try brings something."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # httpx or httpx2, whichever the hub's client uses
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    url = hf_hub_url(repo, file.name, revision=commit, endpoint=_endpoint())
    failures = 0
    part.touch()
    while (have := part.stat().st_size) < file.size:
        headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={have}-"}
        try:
            with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response:
                hf_raise_for_status(response)
                with part.open("ab" if response.status_code == 206 else "wb") as out:
                    for chunk in response.iter_bytes():
                        out.write(chunk)
                        if out.tell() > file.size:
                            raise BadInput(
                                f"{file.name!r} of {repo!r} is longer than the hub says ({file.size:,} bytes); it was refused."
                            )
                        step("MB", (done + out.tell()) // 10**6, total // 10**6)
        except HTTPError as error:
            failures = 1 if part.stat().st_size > have else failures + 1
            if failures >= RETRIES or getattr(error, "response", None) is not None:
                raise
            time.sleep(PAUSE_S)
        else:
            failures = 1 if part.stat().st_size > have else failures + 1
            if failures >= RETRIES:
                raise BadInput(f"the hub sends no more of {file.name!r} after {have:,} of {file.size:,} bytes; pull again later.")


def _check_room(staging: Path, files: list[RemoteFile]) -> None:
    """Refuse before the first byte what the disk cannot hold."""
    there = sum(path.stat().st_size for path in staging.iterdir())
    need = sum(file.size for file in files) - there + SPARE_BYTES
    free = shutil.disk_usage(staging).free
    if need > free:
        raise BadInput(
            f"the model needs {need / 1e9:.1f} GB more on disk, {free / 1e9:.1f} GB are free in {str(staging.parent.parent)!r}."
        )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/")


def _manifest(model: InstalledModel) -> bytes:
    import json

    return json.dumps(model.to_json(), indent=1).encode()


@contextmanager
def _hub(repo: str, revision: str | None) -> Iterator[None]:
    """The hub's errors as one sentence each."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise BadInput(
            f"model {repo!r} asks for consent on its page first; give it there, then set HF_TOKEN to a token of yours and pull again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"there is no public model {repo!r} at {_endpoint()}; check its owner and name.") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"model {repo!r} has no revision {revision!r}.") from error
    except errors.HFValidationError as error:
        raise BadInput(f"model {repo!r}, revision {revision!r}: {' '.join(str(error).split())}") from error
    except errors.OfflineModeIsEnabled as error:
        raise BadInput(
            f"offline mode is on (HF_HUB_OFFLINE), so {repo!r} cannot be pulled; installed models work without a network."
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no status")
        raise BadInput(f"the hub at {_endpoint()} refused {repo!r} (HTTP {status}); try again later.") from error
    except (errors.HTTPError, ConnectionError) as error:  # type: ignore[attr-defined]
        raise BadInput(
            f"no connection to {_endpoint()}, so {repo!r} cannot be pulled now; what has arrived is kept. "
            "Installed models work without one."
        ) from error
    except OSError as error:
        raise BadInput(f"model {repo!r} cannot be stored: {error.strerror or error}.") from error
