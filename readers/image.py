"""Photos: PNG, JPEG, TIFF (8, 16, 32 bit), BMP, WebP, AVIF and the first frame of a GIF → (H, W, 3) uint8 RGB.

Deep pictures (more than 8 bits per channel, or floats) are mapped to 0…255 by one *power-of-two window* per source: let p and q
be the smallest 0.1st and the largest 99.9th percentile over its first deep pictures and g the smallest power of two ≥ q − p; then
⌊p/g⌋·g ↦ 0 and ⌈q/g⌉·g ↦ 255, clipped. A few hot pixels cannot darken everything, all photos of a source stay comparable, and
two sources from one camera almost always get the same window. Transparent pixels are shown on white; EXIF rotation is applied.
Limits are checked on the header, before anything is decoded.
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import ImageSample
from core.settings import limits

if TYPE_CHECKING:
    from PIL import Image

Window = tuple[float, float]
_PILLOW = {
    "png": ("PNG",), "jpeg": ("JPEG", "MPO"), "gif": ("GIF",), "bmp": ("BMP",), "webp": ("WEBP",), "tiff": ("TIFF",), "avif": ("AVIF",),
}  # fmt: skip
_WINDOW_SAMPLE = 16
_EXIF_BYTES = 1 << 16
# what the libraries find odd in a stranger's file is no line for the person's terminal
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
logging.getLogger("tifffile").addHandler(logging.NullHandler())
_open_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One picture file after its header was read: where it is, what it is called, form, upright size, whether it is deep."""

    path: Path
    name: str
    form: str
    height: int
    width: int
    deep: bool
    note: str = ""


def inspect(path: Path, name: str, form: str, *, note: str = "") -> Photo:
    """Read the header of a picture and hold it against the limits.

    Raises:
        BadInput: too many bytes or pixels, or no readable header.
    """
    allowed = limits()
    size = path.stat().st_size
    if size > allowed.max_image_bytes:
        raise BadInput(f"{name}: the picture file has {size:,} bytes, allowed are {allowed.max_image_bytes:,}.")
    if form == "tiff":
        height, width, deep = _tiff_header(path, name)
    else:
        with _pillow(path, name, form) as picture:
            width, height = picture.size
            _check_size(height, width, name)
            deep = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
            if _exif_orientation(picture) >= 5:
                width, height = height, width
    _check_size(height, width, name)
    return Photo(path=path, name=name, form=form, height=height, width=width, deep=deep, note=note)


def _check_size(height: int, width: int, name: str) -> None:
    """Hold the size in the header against the limit."""
    allowed = limits().max_image_pixels
    if min(height, width) < 1:
        raise BadInput(f"{name}: expected at least one pixel, got {width}×{height}.")
    if height * width > allowed:
        raise BadInput(f"{name}: the picture has {width}×{height} pixels, allowed are {allowed:,} in all.")


def looks_whole(photo: Photo) -> bool:
    """Tell cheaply, from the end of the file, whether the picture was stored completely (False: only decoding can tell)."""
    size = photo.path.stat().st_size
    with photo.path.open("rb") as file:
        head = file.read(12)
        file.seek(max(0, size - 16))
        tail = file.read()
    if photo.form == "png":
        return tail[-8:-4] == b"IEND"
    if photo.form == "jpeg":
        return tail.endswith(b"\xff\xd9")
    if photo.form == "gif":
        return tail.endswith(b"\x3b")
    if photo.form == "bmp":
        return int.from_bytes(head[2:6], "little") == size
    if photo.form == "webp":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    return False


def decode(photo: Photo, *, window: Window | None = None, max_side: int | None = None) -> ImageSample:
    """Decode one picture upright to RGB.

    Args:
        photo: from `inspect`.
        window: (black, white) levels for deep pictures; found from this picture alone when None.
        max_side: a hint to decode JPEG at a lower resolution (at least this many pixels on the longest side); the caller shrinks.

    Raises:
        BadInput: the file is cut off or damaged.
    """
    name = photo.name
    notes = [photo.note] if photo.note else []
    if photo.form == "tiff" and photo.deep:
        levels = _tiff_levels(photo)
    else:
        with _pillow(photo.path, name, photo.form) as picture:
            if max_side is not None and photo.form == "jpeg":
                picture.draft(None, (max_side, max_side))
            frames = int(getattr(picture, "n_frames", 1))
            if frames > 1 and photo.form != "jpeg":  # phones append previews to a JPEG
                notes.append(f"{name} holds {frames} pictures; the first was taken.")
            try:
                levels = _upright(picture, notes)
            except (OSError, ValueError, SyntaxError, IndexError, EOFError, MemoryError, TypeError) as error:
                raise _damaged(name, error) from error
    if levels.dtype == np.uint8:
        return ImageSample(name=name, pixels=levels, notes=tuple(notes))
    black, white = window or window_of([levels])
    notes.append(f"{name}: levels {black:g} to {white:g} were mapped to 0 to 255.")
    return ImageSample(name=name, pixels=_to_rgb(to_bytes(levels, (black, white))), notes=tuple(notes))


def shared_window(photos: Sequence[Photo]) -> Window | None:
    """Return the (black, white) levels for the deep pictures among `photos`, None when there are none."""
    deep = [p for p in photos if p.deep][:_WINDOW_SAMPLE]
    if not deep:
        return None
    return window_of([_deep_levels(p) for p in deep])


def window_of(pictures: Sequence[NDArray[Any]]) -> Window:
    """Return the power-of-two window of deep pictures (see the module text).

    >>> window_of([np.arange(100, 4000, dtype=np.uint16).reshape(50, 78)])
    (0.0, 4096.0)
    >>> window_of([np.full((2, 2), 7, np.uint16)])
    (7.0, 8.0)
    """
    lows, highs = [], []
    for levels in pictures:
        finite = levels[np.isfinite(levels)] if levels.dtype.kind == "f" else levels.ravel()
        if finite.size:
            low, high = np.percentile(finite[:: max(1, finite.size // 2_000_000)].astype(np.float64), (0.1, 99.9))
            lows.append(float(low))
            highs.append(float(high))
    if not lows:
        return 0.0, 1.0
    low, high = min(lows), max(highs)
    if high <= low:
        return low, low + 1.0
    grain = 2.0 ** math.ceil(math.log2(high - low))
    return math.floor(low / grain) * grain, math.ceil(high / grain) * grain


def to_bytes(levels: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Map levels to 0…255 by `window`, NaN to 0."""
    black, white = window
    with np.errstate(over="ignore", invalid="ignore"):  # infinite levels are clipped like all beyond the window, NaN is black
        scaled = (levels.astype(np.float32) - black) * (255.0 / (white - black))
        bytes_: NDArray[np.uint8] = np.nan_to_num(np.clip(scaled, 0.0, 255.0), nan=0.0).round().astype(np.uint8)
    return bytes_


def _deep_levels(photo: Photo) -> NDArray[Any]:
    """The raw levels of a deep picture."""
    if photo.form == "tiff":
        return _tiff_levels(photo)
    with _pillow(photo.path, photo.name, photo.form) as picture:
        try:
            return _upright(picture, [])
        except (OSError, ValueError, SyntaxError, IndexError, EOFError, MemoryError, TypeError) as error:
            raise _damaged(photo.name, error) from error


def _pillow(path: Path, name: str, form: str) -> Image.Image:
    """Open (not decode) by the one decoder that fits the signature."""
    from PIL import Image

    try:
        with _open_lock:
            # Pillow's own pixel limit lies below the one a person may set; `inspect` judges before anything is decoded
            usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(path, formats=_PILLOW[form])
            finally:
                Image.MAX_IMAGE_PIXELS = usual
    except Exception as error:  # Pillow's plugins raise whatever their parsers run into: struct.error, KeyError, …
        raise _damaged(name, error) from error


def _damaged(name: str, error: BaseException) -> BadInput:
    """One sentence, without the library's words, whatever went wrong."""
    cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
    why = "it is cut off" if cut else "its content is damaged or of an unusual sort"
    return BadInput(f"{name}: the picture could not be decoded, {why}; copy or export it again.")


def _exif_orientation(picture: Image.Image) -> int:
    """EXIF orientation 1…8 without decoding; a broken EXIF block counts as upright."""
    from PIL import Image

    try:
        if picture.format == "PNG" and "exif" not in picture.info:
            late = _late_exif(Path(getattr(picture, "filename", "")))
            picture.info |= {"exif": late} if late else {}
        # the PNG plugin's own getexif decodes the whole picture
        return int(Image.Image.getexif(picture).get(0x0112, 1) or 1)
    except Exception:  # EXIF is a stranger's bytes; the picture is still good without it
        return 1


def _late_exif(path: Path) -> bytes:
    """The EXIF chunk of a PNG that comes after the pixels, where the format also allows it; b"" when there is none."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf" and length <= _EXIF_BYTES:
                return file.read(length)
            file.seek(length + 4, 1)
    return b""


def _upright(picture: Image.Image, notes: list[str]) -> NDArray[Any]:
    """Decode and rotate; (H, W, 3) uint8, or (H, W) raw levels for deep pictures."""
    from PIL import Image

    picture.load()
    orientation = _exif_orientation(picture)  # after loading: Pillow turns a TIFF itself and then forgets its orientation
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    if orientation in turns:
        picture = picture.transpose(turns[orientation])
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return np.array(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        with_alpha = picture.convert("RGBA")
        if np.array(with_alpha.getchannel("A")).min() < 255:
            notes.append("Transparent pixels are shown on white.")
            white = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
            with_alpha = Image.alpha_composite(white, with_alpha)
        picture = with_alpha
    return np.array(picture.convert("RGB"))


def _tiff_header(path: Path, name: str) -> tuple[int, int, bool]:
    """(height, width, deep) of the first page."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            height, width = int(page.imagelength), int(page.imagewidth)  # type: ignore[union-attr]
            dtype = page.dtype
            values = math.prod(page.shape)
            turned = page.tags.valueof(274, 1) >= 5  # type: ignore[union-attr]
    except Exception as error:  # tifffile raises many kinds on damaged directories
        raise _damaged(name, error) from error
    if dtype is None:
        raise BadInput(f"{name}: expected a TIFF of 8, 16 or 32 bits per channel, got an unknown sample format.")
    if values > 4 * limits().max_image_pixels:
        raise BadInput(
            f"{name}: the picture holds {values:,} values ({width}×{height} pixels of many samples), "
            f"allowed are {4 * limits().max_image_pixels:,}; export one picture of it."
        )
    if turned:
        height, width = width, height
    return height, width, dtype.itemsize > 1


def _tiff_levels(photo: Photo) -> NDArray[Any]:
    """Raw levels (H, W) or (H, W, 3) of a deep TIFF's first page, upright."""
    import tifffile

    try:
        with tifffile.TiffFile(photo.path) as file:
            page = file.pages[0]
            levels = page.asarray()
            orientation = page.tags.valueof(274, 1)  # type: ignore[union-attr]
            if page.axes[:1] == "S":  # colour planes first
                levels = np.moveaxis(levels, 0, -1)
            if page.photometric == 0:  # type: ignore[union-attr]  # white is zero
                levels = levels.max() - levels
    except BadInput:
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds on damaged data
        raise _damaged(photo.name, error) from error
    if levels.ndim == 3 and levels.shape[-1] not in (3,):
        levels = levels[..., :3] if levels.shape[-1] > 3 else levels[..., 0]
    if levels.ndim != 2 and not (levels.ndim == 3 and levels.shape[-1] == 3):
        raise BadInput(f"{photo.name}: expected a flat picture, got an array of shape {levels.shape}.")
    if levels.dtype.kind not in "uif":
        raise BadInput(f"{photo.name}: expected whole or floating numbers, got {levels.dtype.name}.")
    if levels.dtype.kind == "f":
        if levels.dtype.itemsize > 4:
            with np.errstate(over="ignore"):  # beyond float32 is infinite, and clipped like everything beyond the window
                levels = levels.astype(np.float32)
        if not np.isfinite(levels).any():
            raise BadInput(f"{photo.name}: expected measured levels, got none: no pixel is a finite number; export it again.")
    return _turn(levels, orientation)


def _turn(levels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply a TIFF orientation 1…8 to an array."""
    if orientation >= 5:
        levels = np.swapaxes(levels, 0, 1)
    flip_x = orientation in (2, 3, 6, 7)
    flip_y = orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(levels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _to_rgb(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) → (H, W, 3)."""
    return levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2)
