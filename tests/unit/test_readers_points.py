"""3D scans: organised TIFF, PLY and PCD in every encoding, pictures beside them, and broken files."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

import core.settings
from core.errors import BadInput
from readers.open import open_all, open_path

RANDOM = np.random.default_rng(0)
XYZ = RANDOM.normal(size=(7, 9, 3)).astype(np.float32)
RGB = RANDOM.integers(0, 256, (7, 9, 3), dtype=np.uint8)


def write_ply(path, style, *, colour=False, faces=False, kind="float"):
    points = XYZ.reshape(-1, 3)
    header = [
        "ply",
        f"format {style} 1.0",
        "comment made for a test",
        f"element vertex {len(points)}",
        *(f"property {kind} {a}" for a in "xyz"),
    ]
    header += [f"property uchar {c}" for c in ("red", "green", "blue")] * colour
    header += ["element face 1", "property list uchar int vertex_indices"] * faces + ["end_header"]
    data = ("\n".join(header) + "\n").encode()
    colours = RGB.reshape(-1, 3)
    number = {"float": "f", "double": "d"}[kind]
    for p, c in zip(points, colours, strict=True):
        if style == "ascii":
            data += (" ".join(map(repr, map(float, p))) + (" " + " ".join(map(str, c)) if colour else "") + "\n").encode()
        else:
            order = "<" if "little" in style else ">"
            data += struct.pack(f"{order}3{number}", *p) + (bytes(c.tolist()) if colour else b"")
    if faces:
        data += b"3 0 1 2\n" if style == "ascii" else b"\3" + struct.pack("<3i", 0, 1, 2)
    path.write_bytes(data)
    return path


def write_pcd(path, style, *, organised=True, colour=False):
    points = XYZ.reshape(-1, 3)
    width, height = (9, 7) if organised else (63, 1)
    fields, sizes, types, counts = ["x", "y", "z"], ["4"] * 3, ["F"] * 3, ["1"] * 3
    if colour:
        fields, sizes, types, counts = [*fields, "rgb"], [*sizes, "4"], [*types, "F"], [*counts, "1"]
    header = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        f"FIELDS {' '.join(fields)}",
        f"SIZE {' '.join(sizes)}",
        f"TYPE {' '.join(types)}",
        f"COUNT {' '.join(counts)}",
        f"WIDTH {width}",
        f"HEIGHT {height}",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(points)}",
        f"DATA {style}",
    ]
    data = ("\n".join(header) + "\n").encode()
    packed = (RGB.reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)).astype("<u4").view("<f4")
    for p, c in zip(points, packed, strict=True):
        if style == "ascii":
            data += (" ".join(map(repr, map(float, p))) + (f" {float(c)!r}" if colour else "") + "\n").encode()
        else:
            data += struct.pack("<3f", *p) + (np.float32(c).tobytes() if colour else b"")
    path.write_bytes(data)
    return path


def test_organised_tiff_with_holes(tmp_path):
    xyz = XYZ.copy()
    xyz[0, :3] = 0
    xyz[1, 1] = np.nan
    tifffile.imwrite(tmp_path / "a.tiff", xyz, photometric="rgb", compression="zlib")
    source = open_path(tmp_path / "a.tiff")
    sample = source.samples[0]
    assert source.kind == "points"
    assert sample.organised
    assert not sample.valid[0, :3].any()
    assert not sample.valid[1, 1]
    assert sample.valid.sum() == 63 - 4
    assert np.isfinite(sample.xyz).all()
    assert np.array_equal(sample.xyz[sample.valid], XYZ[sample.valid])


def test_planes_of_x_y_and_z(tmp_path):
    tifffile.imwrite(tmp_path / "p.tiff", np.moveaxis(XYZ, -1, 0), photometric="minisblack")
    assert np.array_equal(open_path(tmp_path / "p.tiff").samples[0].xyz, XYZ)


@pytest.mark.parametrize("style", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("kind", ["float", "double"])
def test_ply(tmp_path, style, colour, kind):
    sample = open_path(write_ply(tmp_path / "a.ply", style, colour=colour, kind=kind)).samples[0]
    assert sample.xyz.shape == (1, 63, 3)
    assert not sample.organised
    assert np.allclose(sample.xyz.reshape(-1, 3), XYZ.reshape(-1, 3), atol=1e-6)
    if colour:
        assert np.array_equal(sample.rgb.reshape(-1, 3), RGB.reshape(-1, 3))
    else:
        assert sample.rgb is None


def test_ply_with_faces(tmp_path):
    for style in ("ascii", "binary_little_endian"):
        assert open_path(write_ply(tmp_path / "f.ply", style, faces=True)).samples[0].xyz.shape == (1, 63, 3)


@pytest.mark.parametrize("style", ["ascii", "binary"])
@pytest.mark.parametrize("organised", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_pcd(tmp_path, style, organised, colour):
    sample = open_path(write_pcd(tmp_path / "a.pcd", style, organised=organised, colour=colour)).samples[0]
    assert sample.xyz.shape == ((7, 9, 3) if organised else (1, 63, 3))
    assert np.allclose(sample.xyz.reshape(-1, 3), XYZ.reshape(-1, 3), atol=1e-6)
    if colour:
        assert np.array_equal(sample.rgb.reshape(-1, 3), RGB.reshape(-1, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: write_ply(p / "a.ply", "ascii"),
        lambda p: write_ply(p / "a.ply", "binary_little_endian"),
        lambda p: write_pcd(p / "a.pcd", "ascii"),
        lambda p: write_pcd(p / "a.pcd", "binary"),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_cut_off_clouds_are_refused(tmp_path, make, share):
    path = make(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadInput, match=rf"^{path.name}: ") as caught:
        open_path(path)
    assert "\n" not in str(caught.value)


FOO = b"element foo %s\nproperty int q\nelement vertex"


@pytest.mark.timeout(20)
def test_bad_clouds(tmp_path, monkeypatch):
    """What a header announces is held against the file before it is read, passed over or set aside for."""
    LITTLE = write_ply(tmp_path / "l.ply", "binary_little_endian").read_bytes()
    cases = {
        "compressed.pcd": write_pcd(tmp_path / "c.pcd", "binary").read_bytes().replace(b"DATA binary", b"DATA binary_compressed"),
        "fields.ply": write_ply(tmp_path / "d.ply", "ascii").read_bytes().replace(b"property float z", b"property float w"),
        "many.ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\n"
        b"property float x\nproperty float y\nproperty float z\nend_header\n",
        "none.ply": b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\nproperty float z\nend_header\n",
        "type.ply": b"ply\nformat ascii 1.0\nelement vertex 1\nproperty strange x\nend_header\n1\n",
        "count.pcd": write_pcd(tmp_path / "e.pcd", "binary").read_bytes().replace(b"COUNT 1 1 1", b"COUNT 1 1 999999999"),
        "below.pcd": write_pcd(tmp_path / "e.pcd", "binary").read_bytes().replace(b"COUNT 1 1 1", b"COUNT 1 1 -5"),
        "before.ply": write_ply(tmp_path / "d.ply", "ascii").read_bytes().replace(b"element vertex", FOO % b"999999999"),
        "before_binary.ply": LITTLE.replace(b"element vertex", FOO % b"999999999"),
        "back.ply": LITTLE.replace(b"element vertex", FOO % b"-999999999"),
        "minus.ply": LITTLE.replace(b"element vertex 63", b"element vertex -63"),
        "long.ply": LITTLE.replace(b"element vertex 63", b"element vertex 49999999"),
        "lines.ply": write_ply(tmp_path / "d.ply", "ascii").read_bytes().replace(b"vertex 63", b"vertex 49999999"),
        "twice.ply": LITTLE.replace(b"property float y", b"property float x"),
        "negative.pcd": write_pcd(tmp_path / "n.pcd", "ascii").read_bytes().replace(b"WIDTH 9", b"WIDTH -9"),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=rf"^{name}: ") as caught:
            open_path(tmp_path / name)
        assert "unusual sort" not in str(caught.value)
    nothing = np.zeros((5, 6, 3), np.float32)
    tifffile.imwrite(tmp_path / "zero.tiff", nothing, photometric="rgb")
    with pytest.raises(BadInput, match="measured points"):
        open_path(tmp_path / "zero.tiff")
    tifffile.imwrite(tmp_path / "big.tiff", XYZ, photometric="rgb")
    monkeypatch.setattr("readers.points.limits", lambda: core.settings.Limits(max_points=10))
    with pytest.raises(BadInput, match="63 points, allowed are 10"):
        open_path(tmp_path / "big.tiff")


@pytest.mark.parametrize("style", ["ascii", "binary_little_endian"])
def test_another_element_before_the_points_is_passed_over(tmp_path, style):
    data = write_ply(tmp_path / "a.ply", style).read_bytes().replace(b"element vertex", FOO % b"2")
    extra = b"7\n8\n" if style == "ascii" else struct.pack("<2i", 7, 8)
    (tmp_path / "b.ply").write_bytes(data.replace(b"end_header\n", b"end_header\n" + extra))
    assert np.allclose(open_path(tmp_path / "b.ply").samples[0].xyz, XYZ.reshape(1, -1, 3))


@pytest.mark.filterwarnings("error")
def test_coordinates_beyond_float_count_as_not_measured(tmp_path):
    data = write_ply(tmp_path / "a.ply", "binary_little_endian", kind="double").read_bytes()
    (tmp_path / "b.ply").write_bytes(data[:-8] + struct.pack("<d", 1e300))
    sample = open_path(tmp_path / "b.ply").samples[0]
    assert sample.valid.sum() == 62
    assert any("1 coordinates beyond" in n for n in sample.notes)


def test_the_most_frequent_kind_of_a_folder_wins_over_a_single_scan(tmp_path):
    write_ply(tmp_path / "scan.ply", "ascii")
    Image.fromarray(RGB).save(tmp_path / "scan.png")
    assert open_path(tmp_path).kind == "points"  # its only picture is the scan's own
    for k in range(3):
        Image.fromarray(RGB).save(tmp_path / f"photo{k}.png")
    source = open_path(tmp_path)
    assert (source.kind, len(source.samples)) == ("image", 4)
    assert source.notes == ("Left out: 1 file of another kind ('scan.ply').",)
    asked = open_path(tmp_path, kind="points")
    assert asked.kind == "points"
    assert "3 pictures belong to no scan and were left out ('photo0.png', 'photo1.png', 'photo2.png')." in asked.notes


def make_pairs(folder, count=3):
    for k in range(count):
        (folder / "xyz").mkdir(parents=True, exist_ok=True)
        (folder / "rgb").mkdir(exist_ok=True)
        (folder / "gt").mkdir(exist_ok=True)
        tifffile.imwrite(folder / "xyz" / f"{k:03}.tiff", XYZ + k, photometric="rgb")
        Image.fromarray(np.roll(RGB, k, axis=0)).save(folder / "rgb" / f"{k:03}.png")
        Image.fromarray(np.zeros((7, 9), np.uint8)).save(folder / "gt" / f"{k:03}.png")


def test_folder_of_pairs(tmp_path):
    make_pairs(tmp_path / "test" / "good")
    make_pairs(tmp_path / "test" / "bent", 2)
    source = open_path(tmp_path / "test")
    assert source.kind == "points"
    assert source.samples.names == (
        "bent/xyz/000.tiff",
        "bent/xyz/001.tiff",
        "good/xyz/000.tiff",
        "good/xyz/001.tiff",
        "good/xyz/002.tiff",
    )
    assert np.array_equal(source.samples[1].rgb, np.roll(RGB, 1, axis=0))
    assert np.allclose(source.samples[4].xyz, XYZ + 2)
    assert source.summary["with_rgb"]
    assert any("5 pictures belong to no scan" in n for n in source.notes)


def test_loose_scans_and_their_pictures(tmp_path):
    make_pairs(tmp_path)
    opened = open_all(
        [tmp_path / "rgb" / "000.png", tmp_path / "xyz" / "001.tiff", tmp_path / "rgb" / "001.png", tmp_path / "xyz" / "000.tiff"]
    )
    assert len(opened.sources) == 1
    source = opened.sources[0]
    assert source.kind == "points"
    assert source.name == "2 scans"
    assert np.array_equal(source.samples[0].rgb, np.roll(RGB, 1, axis=0))


def test_photos_that_belong_to_no_scan_stay_photos(tmp_path):
    make_pairs(tmp_path)
    Image.fromarray(RGB).save(tmp_path / "other.png")
    opened = open_all([tmp_path / "other.png", tmp_path / "xyz" / "000.tiff"])
    assert [s.kind for s in opened.sources] == ["image", "points"]


def test_a_picture_of_another_size_is_left_out_with_a_note(tmp_path):
    make_pairs(tmp_path, 1)
    Image.fromarray(RGB[:5]).save(tmp_path / "rgb" / "000.png")
    sample = open_path(tmp_path).samples[0]
    assert sample.rgb is None
    assert "another size" in sample.notes[0]
