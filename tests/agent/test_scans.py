"""3D scans in a chat: judged beside each other as photos are, shown by their colours or depth, and spoken of as scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from asking import SAMPLES, ask
from PIL import Image

from agent.examine.image import pixels_of
from agent.session import Session
from core.samples import PointSample
from core.synthetic import case


def write(scan: PointSample, folder: Path, number: int, *, colours: bool) -> None:
    """A scan as MVTec 3D-AD lays it out: …/xyz/000.tiff and …/rgb/000.png."""
    (folder / "xyz").mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / "xyz" / f"{number:03d}.tiff", np.where(scan.valid[..., None], scan.xyz, 0), photometric="rgb")
    if colours and scan.rgb is not None:
        (folder / "rgb").mkdir(exist_ok=True)
        Image.fromarray(scan.rgb).save(folder / "rgb" / f"{number:03d}.png")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Seven good scans without colours and an odd one, the last."""
    folder = tmp_path_factory.mktemp("scans") / "parts"
    made = case("points")
    for number, scan in enumerate([*made.normal[:4], *made.unseen[:3], made.odd]):
        write(scan, folder, number, colours=False)
    session = Session(home=tmp_path_factory.mktemp("home"))
    session.folder = folder  # type: ignore[attr-defined]
    yield session
    session.close()


def test_the_odd_scan_is_named_shown_and_called_a_scan(parts: Session) -> None:
    reply = ask(parts, "which of these are defective, and where?", files=[parts.folder])  # type: ignore[attr-defined]
    assert reply.status == "abnormal"
    assert [a.loci[0].sample.rsplit("/", 1)[-1] for a in reply.anomalies] == ["007.tiff"]
    assert [run.name for run in reply.tools] == ["musc_v2"]
    assert "take it as a hint" in reply.answer
    assert "photo" not in reply.answer
    assert any(panel.kind == "heatmap" and panel.path and Path(panel.path).is_file() for panel in reply.panels)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("how many are bad?", "1 of 8 scans looks abnormal"),
        ("why?", "the other scans show nothing like it at any place"),
        ("how bad is it?", "of 100"),
        ("when did it happen?", "Scans carry no time here"),
        ("is the second one ok?", "looks normal"),
        ("use musc_v2", "musc_v2"),
    ],
)
def test_follow_ups_speak_of_scans(parts: Session, question: str, said: str) -> None:
    if not parts.history():
        ask(parts, "what is wrong?", files=[parts.folder])  # type: ignore[attr-defined]
    ask(parts, "what is wrong?")
    answer = ask(parts, question).answer
    assert said in answer
    assert "photo" not in answer.lower()


def test_scans_with_colours_are_shown_in_them(tmp_path: Path) -> None:
    made = case("points")
    for number, scan in enumerate([*made.normal[:4], *made.unseen[:3], made.odd]):
        write(scan, tmp_path / "parts", number, colours=True)
    session = Session(home=tmp_path / "home")
    reply = ask(session, "which of these are defective?", files=[tmp_path / "parts"])
    assert "`xyz/007.tiff`" in reply.answer.splitlines()[0]  # flagged or borderline
    assert "xyz/000.tiff" not in reply.answer
    session.close()


def test_a_loose_cloud_is_refused_with_a_way_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "clouds"
    folder.mkdir()
    for number in range(3):
        lines = [
            "ply",
            "format ascii 1.0",
            "element vertex 300",
            "property float x",
            "property float y",
            "property float z",
            "end_header",
        ]
        lines += [" ".join(f"{v:.4f}" for v in point) for point in rng.uniform(0, 1, (300, 3))]
        (folder / f"{number}.ply").write_text("\n".join(lines) + "\n")
    session = Session(home=tmp_path / "home")
    reply = ask(session, "what is wrong?", files=[folder])
    assert reply.status == "insufficient"
    assert "loose cloud" in reply.answer
    assert "telltale detect musc_v2" in reply.answer
    session.close()


def test_one_scan_alone_says_what_is_needed(tmp_path: Path) -> None:
    write(case("points").odd, tmp_path / "one", 0, colours=False)
    session = Session(home=tmp_path / "home")
    reply = ask(session, "is this part ok?", files=[tmp_path / "one"])
    assert reply.status == "insufficient"
    assert "give 3 or more, or normal ones as the reference" in reply.answer
    session.close()


def test_scans_and_a_series_in_one_chat(tmp_path: Path) -> None:
    made = case("points")
    for number, scan in enumerate([*made.normal[:4], made.odd]):
        write(scan, tmp_path / "parts", number, colours=True)
    session = Session(home=tmp_path / "home")
    reply = ask(session, "what is wrong?", files=[tmp_path / "parts", SAMPLES / "pump.csv"])
    assert {run.name for run in reply.tools} == {"musc_v2", "window_pca"}
    assert "scans" in reply.answer
    assert "vibration" in reply.answer
    session.close()


def test_a_scan_without_colours_is_shown_by_its_depth() -> None:
    xyz = np.zeros((2, 3, 3), np.float32)
    xyz[..., 2] = [[1, 2, 3], [0, 0, 0]]
    valid = xyz[..., 2] > 0
    grey = pixels_of(PointSample(name="a", xyz=xyz, valid=valid))[..., 0]
    assert grey[0, 0] > grey[0, 1] > grey[0, 2] > 0
    assert (grey[1] == 0).all()
