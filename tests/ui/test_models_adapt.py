"""`telltale models adapt | relate`: what is learned for a local model is kept where the chat looks for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ui.cli import main

sys.path.append(str(Path(__file__).parents[1] / "unit"))

from tiny_vlm import build_qwen

SAMPLES = Path(__file__).parents[2] / "samples"


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    return int(end.value.code or 0), capsys.readouterr().err


def test_an_adapter_is_trained_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.narration.sight import MapReader
    from models.chat.local_vlm import open_local

    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))
    build_qwen(tmp_path / "tiny")
    code, said = run(
        capsys,
        "models",
        "adapt",
        tmp_path / "tiny",
        "--normal",
        SAMPLES / "tiles_normal",
        "--product",
        "tile",
        "--photos",
        4,
        "--epochs",
        2,
    )
    assert code == 0, said
    kept = tmp_path / "home" / "adapters" / "tiny"
    assert sorted(path.name for path in kept.iterdir()) == ["adapter.json", "adapter.safetensors"]
    assert "Adapter for tiny from 4 photos of good parts" in said
    adapter = MapReader().kept.of(open_local(str(tmp_path / "tiny"), device="cpu"), tmp_path / "home")
    assert adapter is not None


def test_what_cannot_be_learned_from_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))
    build_qwen(tmp_path / "tiny")
    for normal, message in (
        (SAMPLES / "pump.csv", "expected photos of good parts"), (tmp_path / "nowhere", "no such file"),
        (SAMPLES / "tiles_normal" / "good_1.jpg", "expected at least 4"),
    ):  # fmt: skip
        code, said = run(capsys, "models", "adapt", tmp_path / "tiny", "--normal", normal)
        assert code == 2
        assert message in said
        assert "Traceback" not in said
    assert run(capsys, "models", "adapt", "no-such-model", "--normal", SAMPLES)[0] == 2
    assert not (tmp_path / "home" / "adapters").exists()


def test_a_relation_encoder_is_trained_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.narration.changes import ChangeReader
    from models.chat.local_vlm import open_local

    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))
    build_qwen(tmp_path / "tiny")
    code, said = run(
        capsys, "models", "relate", tmp_path / "tiny", SAMPLES / "crossing.mp4", "--steps", 2, "--epochs", 1
    )  # fmt: skip
    assert code == 0, said
    kept = tmp_path / "home" / "adapters" / "tiny"
    assert sorted(path.name for path in kept.iterdir()) == ["relations.json", "relations.safetensors"]
    assert "Relation encoder for tiny from 1 videos" in said
    assert ChangeReader().kept.of(open_local(str(tmp_path / "tiny"), device="cpu"), tmp_path / "home") is not None
    code, said = run(capsys, "models", "relate", tmp_path / "tiny", SAMPLES / "pump.csv")
    assert code == 2
    assert "expected videos" in said
