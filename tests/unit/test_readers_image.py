"""Photos: formats, depths, rotation, lazy access, and everything that can be wrong with a picture file."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import core.settings
from core.errors import BadInput
from readers.image import inspect, looks_whole, window_of
from readers.lazy import LazySamples
from readers.open import open_all, open_path


def picture(height=12, width=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def small_limits(monkeypatch, **changes):
    changed = core.settings.Limits(**changes)
    for module in ("image", "video", "points", "open", "table", "series", "events", "pictures", "clouds", "folder", "arrays"):
        monkeypatch.setattr(f"readers.{module}.limits", lambda: changed)


@pytest.mark.parametrize("extension", ["png", "bmp", "tiff", "webp", "gif", "jpg"])
def test_every_format_gives_rgb(tmp_path, extension):
    smooth = np.zeros((12, 20, 3), np.uint8)
    smooth[:, :10] = (200, 30, 60)
    options = {"lossless": True} if extension == "webp" else {"quality": 95, "subsampling": 0} if extension == "jpg" else {}
    Image.fromarray(smooth).save(tmp_path / f"a.{extension}", **options)
    source = open_path(tmp_path / f"a.{extension}")
    assert source.kind == "image"
    assert source.summary == {"n": 1, "sizes": [{"height": 12, "width": 20, "n": 1}]}
    assert np.abs(source.samples[0].pixels.astype(int) - smooth).max() <= (12 if extension == "jpg" else 0)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (90, 255), (90, 90, 90)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_modes_become_rgb(tmp_path, mode, colour, expected):
    file = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new(mode, (6, 4), colour).save(file)
    assert (open_path(file).samples[0].pixels == np.array(expected, np.uint8)).all()


def test_palette_with_transparency_shows_white(tmp_path):
    palette = Image.new("P", (6, 4), 0)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putpixel((0, 0), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    pixels = open_path(tmp_path / "p.png").samples[0].pixels
    assert pixels[0, 0].tolist() == [200, 0, 0]
    assert pixels[2, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_and_known_before_decoding(tmp_path, orientation):
    upright = picture()
    inverse = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: np.rot90,
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(inverse[orientation](upright)))
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "r.png", exif=exif)
    stored.save(tmp_path / "r.tiff", exif=exif)
    for file in ("r.png", "r.tiff"):
        source = open_path(tmp_path / file)
        assert source.summary["sizes"] == [{"height": 12, "width": 20, "n": 1}]
        assert np.array_equal(source.samples[0].pixels, upright)


def test_deep_tiff_rotation(tmp_path):
    upright = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)
    tifffile.imwrite(tmp_path / "d.tiff", np.rot90(upright), extratags=[(274, "H", 1, 6, True)])
    sample = open_path(tmp_path / "d.tiff").samples[0]
    assert sample.size == (12, 20)
    assert (np.diff(sample.pixels[:, 0, 0].astype(int)) >= 0).all()
    assert sample.pixels[-1, -1, 0] > sample.pixels[0, 0, 0]


def test_sixteen_bits_keep_contrast_despite_a_hot_pixel(tmp_path):
    levels = np.linspace(1000, 3000, 40 * 50).reshape(40, 50).astype(np.uint16)
    levels[0, 0] = 65535
    tifffile.imwrite(tmp_path / "a.tiff", levels)
    Image.fromarray(levels).save(tmp_path / "a.png")
    for file in ("a.tiff", "a.png"):
        source = open_path(tmp_path / file)
        assert np.ptp(source.samples[0].pixels[1:]) > 100
        assert "mapped to 0 to 255" in source.notes[0]


def test_deep_photos_of_one_source_share_their_window(tmp_path):
    dark, bright = np.full((8, 9), 500, np.uint16), np.full((8, 9), 4000, np.uint16)
    dark[0], bright[0] = 100, 3900
    tifffile.imwrite(tmp_path / "a.tif", dark)
    tifffile.imwrite(tmp_path / "b.tif", bright)
    first, second = open_path(tmp_path).samples
    assert first.pixels.mean() < 40
    assert second.pixels.mean() > 230


def test_sixteen_bit_colour_and_float_tiff(tmp_path):
    colour = np.random.default_rng(1).integers(0, 4096, (10, 14, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", colour, photometric="rgb")
    assert open_path(tmp_path / "c.tif").samples[0].pixels.shape == (10, 14, 3)
    tifffile.imwrite(tmp_path / "f.tif", np.where(np.eye(12, 15) > 0, np.nan, 0.25).astype(np.float32))
    assert open_path(tmp_path / "f.tif").kind == "image"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_window_holds_the_bulk_and_is_not_much_wider(values):
    array = np.array(values).reshape(1, -1)
    black, white = window_of([array])
    low, high = np.percentile(array, (0.1, 99.9))
    assert black <= low + 1e-9
    assert white >= high - 1e-9
    assert white > black
    if high - low > 1e-3:
        assert white - black <= 4.001 * (high - low) + 1e-9


@pytest.mark.parametrize("extension", ["png", "jpg", "tiff", "webp", "gif", "bmp"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9])
def test_truncated_pictures_are_refused_in_one_sentence(tmp_path, extension, share):
    whole = tmp_path / f"whole.{extension}"
    Image.fromarray(picture(64, 80)).save(whole)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{extension}"
    cut.write_bytes(data[: max(9, int(share * len(data)))])
    with pytest.raises(BadInput, match=r"^cut\.") as caught:
        open_path(cut)
    assert "\n" not in str(caught.value)


def test_a_truncated_photo_beyond_the_proof_budget_is_still_found(tmp_path, monkeypatch):
    monkeypatch.setattr("readers.pictures._PROOF_PIXELS", 0)
    for k in range(4):
        Image.fromarray(picture(64, 80, k)).save(tmp_path / f"{k}.jpg")
    data = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(data[: len(data) // 2])
    source = open_path(tmp_path)
    assert source.samples.names == ("0.jpg", "1.jpg", "3.jpg")
    assert "2.jpg" in source.notes[0]


def png_bomb(width, height):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [12_000, 60_000, 2_000_000_000])
def test_bombs_are_refused_before_decoding(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_bomb(side, side))
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"bomb\.png"):
        open_path(tmp_path / "bomb.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_inspecting_a_png_decodes_nothing_and_still_knows_its_orientation(tmp_path, monkeypatch):
    """Pillow's own getexif of a PNG decodes the whole picture; the chunk may also come after the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "early.png", exif=exif)
    data = (tmp_path / "early.png").read_bytes()
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    bare = data.replace(chunk, b"")
    (tmp_path / "late.png").write_bytes(bare[:-12] + chunk + bare[-12:])
    Image.fromarray(picture()).save(tmp_path / "none.png")

    def load(_self):
        raise AssertionError("decoded")

    with monkeypatch.context() as patch:
        patch.setattr("PIL.ImageFile.ImageFile.load", load)
        sizes = {n: inspect(tmp_path / n, n, "png") for n in ("early.png", "late.png", "none.png")}
    assert [(p.height, p.width) for p in sizes.values()] == [(20, 12), (20, 12), (12, 20)]
    turned = np.rot90(picture(), -1)
    assert all(np.array_equal(open_path(tmp_path / n).samples[0].pixels, turned) for n in ("early.png", "late.png"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tiff_without_a_finite_value_is_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "nan.tif", np.full((6, 7), np.nan, dtype))
    with pytest.raises(BadInput, match=r"^nan\.tif: expected measured levels, got none.*export it again\.$"):
        open_path(tmp_path / "nan.tif")


def test_a_tiff_of_many_samples_is_judged_by_all_of_them(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "many.tif", np.zeros((5, 5, 200), np.uint16), photometric="minisblack", planarconfig="contig")
    assert open_path(tmp_path / "many.tif").samples[0].size == (5, 5)
    small_limits(monkeypatch, max_image_pixels=100)
    with pytest.raises(BadInput, match=r"^many\.tif: the picture holds 5,000 values .* allowed are 400;"):
        open_path(tmp_path / "many.tif")


@pytest.mark.filterwarnings("error")
def test_huge_levels_are_clipped_without_a_warning(tmp_path):
    levels = np.linspace(0, 1000, 42).reshape(6, 7)
    levels[0, 0], levels[5, 6] = -1e300, 1e300
    tifffile.imwrite(tmp_path / "huge.tif", levels)
    pixels = open_path(tmp_path / "huge.tif").samples[0].pixels
    assert pixels[0, 0, 0] == 0
    assert pixels[5, 6, 0] == 255
    assert pixels[3, 3, 0] == pytest.approx(levels[3, 3] / 1024 * 255, abs=1)


def test_limits_on_bytes_pixels_and_number(tmp_path, monkeypatch):
    for k in range(3):
        Image.fromarray(picture(seed=k)).save(tmp_path / f"{k}.png")
    small_limits(monkeypatch, max_image_pixels=100)
    with pytest.raises(BadInput, match="20×12 pixels, allowed are 100"):
        open_path(tmp_path / "0.png")
    small_limits(monkeypatch, max_image_bytes=50)
    with pytest.raises(BadInput, match="bytes, allowed are 50"):
        open_path(tmp_path / "0.png")
    small_limits(monkeypatch, max_images=2)
    with pytest.raises(BadInput, match="3 pictures, allowed are 2"):
        open_path(tmp_path)


def test_photos_are_decoded_on_access_and_memory_stays_flat(tmp_path, monkeypatch):
    monkeypatch.setattr("readers.pictures._PROOF_PIXELS", 0)
    for k in range(12):
        Image.fromarray(picture(500, 600, k)).save(tmp_path / f"{k:02}.bmp")
    source = open_path(tmp_path)
    tracemalloc.start()
    small = LazySamples(source.samples.names, lambda i: source.samples._store._load(i), cache_bytes=2_000_000)
    total = sum(int(s.pixels[0, 0, 0]) for s in small)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == sum(int(picture(500, 600, k)[0, 0, 0]) for k in range(12))
    assert peak < 6e6  # one photo is 0.9 MB, all are 10.8 MB


def test_lazy_samples_behave_like_a_sequence(tmp_path):
    for k in range(5):
        Image.fromarray(picture(seed=k)).save(tmp_path / f"{k}.png")
    samples = open_path(tmp_path).samples
    assert [s.name for s in samples] == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert samples[-1].name == "4.png"
    assert [s.name for s in samples[1:4][::-1]] == ["3.png", "2.png", "1.png"]
    assert samples[1:3].names == ("1.png", "2.png")
    assert np.array_equal(samples[2].pixels, picture(seed=2))
    with pytest.raises(IndexError):
        samples[5]


def test_looks_whole_agrees_with_decoding(tmp_path):
    for extension in ("png", "jpg", "gif", "bmp", "webp"):
        file = tmp_path / f"a.{extension}"
        Image.fromarray(picture()).save(file)
        form = "jpeg" if extension == "jpg" else extension
        photo = inspect(file, file.name, form)
        assert looks_whole(photo)
        file.write_bytes(file.read_bytes()[:-20])
        assert not looks_whole(photo)


def test_a_photo_that_vanishes_after_opening_ends_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("readers.pictures._PROOF_PIXELS", 0)
    Image.fromarray(picture()).save(tmp_path / "a.png")
    source = open_path(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    with pytest.raises(BadInput, match=r"a\.png"):
        source.samples[0]


def test_loose_photos_become_one_source_in_drop_order(tmp_path):
    for k in range(3):
        Image.fromarray(picture(seed=k)).save(tmp_path / f"{k}.png")
    opened = open_all([tmp_path / "2.png", tmp_path / "0.png", tmp_path / "1.png"])
    assert opened.sources[0].name == "3 photos"
    assert opened.sources[0].samples.names == ("2.png", "0.png", "1.png")
    other = open_all([tmp_path / "0.png", tmp_path / "1.png", tmp_path / "2.png"])
    assert other.sources[0].sha256 != opened.sources[0].sha256
