"""Pictures that prove: heatmaps laid over photos, numbered boxes, keyframe strips with printed times, plots with shaded events.

Pictures are (H, W, 3) uint8 RGB; boxes are xyxy pixels; times are seconds. Colours follow matplotlib's "inferno" (van der Walt & Smith
2015), whose lightness grows evenly with the value, so that it also reads in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARK = (0, 229, 255)
"""Colour of boxes: bright cyan, absent from the heat colours and rare in photos."""
STRONGEST = 0.72
"""Opacity of the hottest colour: the thing itself stays visible under it."""
MAX_POINTS = 2_000
MAX_ROWS = 8
EVENT_COLOUR = "#d62728"


def overlay(
    pixels: NDArray[np.uint8], heatmap: NDArray[np.float32], *, low: float | None = None, high: float | None = None,
    boxes: Sequence[Sequence[float]] = (),
) -> NDArray[np.uint8]:  # fmt: skip
    """Lay `heatmap` (H, W) over `pixels` (H, W, 3): clear up to `low`, the hottest colour from `high` on; number the `boxes` from 1.

    `low` and `high` default to the heatmap's median and maximum. Give the same two to pictures that are to be compared.

    Raises:
        BadInput: the sizes differ, or the heatmap is not finite.

    >>> overlay(np.zeros((4, 6, 3), np.uint8), np.eye(4, 6, dtype=np.float32))[0, 0].tolist()
    [181, 184, 118]
    """
    _check_picture(pixels)
    if heatmap.shape != pixels.shape[:2] or not np.isfinite(heatmap).all():
        raise BadInput(f"heatmap: expected finite values of shape {pixels.shape[:2]}, got shape {heatmap.shape}.")
    low = float(np.median(heatmap)) if low is None else low
    high = float(heatmap.max()) if high is None else high
    heat = np.clip((heatmap - low) / max(high - low, 1e-12), 0.0, 1.0).astype(np.float32)
    cover = (STRONGEST * np.sqrt(heat))[..., None]
    mixed = pixels * (1.0 - cover) + _colours()[np.round(heat * 255).astype(np.uint8)] * cover
    return _boxed(np.round(mixed).astype(np.uint8), boxes)


def boxes(pixels: NDArray[np.uint8], found: Sequence[Sequence[float]]) -> NDArray[np.uint8]:
    """A copy of `pixels` with the boxes `found` (x0, y0, x1, y1) drawn and, when there are several, numbered from 1.

    >>> boxes(np.zeros((9, 9, 3), np.uint8), [(2, 2, 6, 6)])[2, 4].tolist()
    [0, 229, 255]
    """
    _check_picture(pixels)
    if not found:
        return pixels.copy()
    from PIL import Image, ImageDraw

    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    height, width = pixels.shape[:2]
    line = max(1, round(min(height, width) / 160))
    for number, box in enumerate(found, start=1):
        x0, y0 = max(0, round(box[0])), max(0, round(box[1]))
        x1, y1 = min(width - 1, max(x0, round(box[2]) - 1)), min(height - 1, max(y0, round(box[3]) - 1))
        if x0 >= width or y0 >= height:
            continue
        pen.rectangle((x0, y0, x1, y1), outline=MARK, width=line)
        if len(found) > 1:
            _label(pen, str(number), x0, y0, size=max(11, round(min(height, width) / 24)), above=True)
    return np.asarray(picture, dtype=np.uint8).copy()


_boxed = boxes  # `overlay` has an argument of that name


def contact_strip(
    frames: Sequence[tuple[float, NDArray[np.uint8]]], *, height: int = 180, columns: int = 4, captions: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Frames (seconds, (H, W, 3)) side by side, each `height` pixels high and stamped with its time and, if given, a caption.

    Raises:
        BadInput: no frame, or something that is not a picture.

    >>> contact_strip([(0.0, np.zeros((9, 12, 3), np.uint8)), (61.5, np.zeros((9, 12, 3), np.uint8))], height=36).shape
    (36, 98, 3)
    """
    if not frames:
        raise BadInput("keyframe strip: expected at least one frame, got none.")
    from PIL import Image, ImageDraw

    tiles = []
    for index, (time_s, rgb) in enumerate(frames):
        _check_picture(rgb)
        width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
        tile = Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS)
        text = stamp(time_s) + (f"  {captions[index]}" if index < len(captions) else "")
        _label(ImageDraw.Draw(tile), text, 3, height - 3, size=max(10, height // 12), above=True)
        tiles.append(tile)
    gap, cell = 2, max(tile.width for tile in tiles)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * cell + (columns - 1) * gap, rows * height + (rows - 1) * gap), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(tile, ((index % columns) * (cell + gap), (index // columns) * (height + gap)))
    return np.asarray(sheet, dtype=np.uint8).copy()


def stamp(time_s: float) -> str:
    """Seconds as a person reads them on a player.

    >>> stamp(12.04), stamp(3725.5)
    ('0:12.04', '1:02:05.50')
    """
    hundredths = round(time_s * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 100:02d}.{rest % 100:02d}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """`pixels` (H, W, 3) as a PNG file.

    >>> png_bytes(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """
    _check_picture(pixels)
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def series_plot(
    time_s: NDArray[np.float64], values: NDArray[np.float32], channels: Sequence[str], *,
    events: Sequence[tuple[float, float]] = (), epoch_s: float | None = None,
) -> bytes:  # fmt: skip
    """PNG of `values` (T, M) over `time_s` (T,), one row per channel (at most 8), with `events` (start_s, end_s) shaded.

    Missing values (NaN) are gaps; long series are thinned to their extremes, so spikes stay. With `epoch_s` the axis is clock time.

    Raises:
        BadInput: lengths do not fit.
    """
    if values.ndim != 2 or values.shape != (len(time_s), len(channels)) or values.size == 0:
        raise BadInput(f"plot: expected values of shape {(len(time_s), len(channels))}, got {values.shape}.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = min(len(channels), MAX_ROWS)
    figure = Figure(figsize=(9.0, 1.0 + 1.25 * shown), dpi=100, layout="constrained")
    axes: list[Axes] = list(figure.subplots(shown, 1, sharex=True, squeeze=False)[:, 0])
    start = None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
    unit, divisor = ("time", 1.0) if start is not None else _unit(float(time_s[-1] - time_s[0]))

    def place(seconds: float) -> Any:
        return seconds / divisor if start is None else start + timedelta(seconds=seconds)

    for index, axis in enumerate(axes):
        at, thinned = _thin(time_s, values[:, index])
        axis.plot([place(t) for t in at.tolist()], thinned, linewidth=0.9, color="#1f4e79")
        for first, end in events:
            axis.axvspan(place(first), place(end), color=EVENT_COLOUR, alpha=0.22, linewidth=0)
            if end - first < 0.005 * float(time_s[-1] - time_s[0]):  # too narrow to be seen as an area
                axis.axvline(place((first + end) / 2), color=EVENT_COLOUR, alpha=0.5, linewidth=1.0)
        axis.set_title(channels[index], fontsize=9, loc="left", pad=3, parse_math=False)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.margins(x=0.01)
    axes[-1].set_xlabel(unit, fontsize=9)
    if start is not None:
        _clock_axis(axes[-1])
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _clock_axis(axis: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=UTC)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))


def _unit(length_s: float) -> tuple[str, float]:
    for name, seconds in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if length_s > 3 * seconds:
            return f"time ({name})", seconds
    return "time (s)", 1.0


def _thin(time_s: NDArray[np.float64], values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """At most MAX_POINTS points that keep every bin's lowest and highest value; a bin without any value keeps its gap."""
    if len(values) <= MAX_POINTS:
        return time_s, values
    bins = np.array_split(np.arange(len(values)), MAX_POINTS // 2)
    keep: list[int] = []
    for inside in bins:
        finite = inside[np.isfinite(values[inside])]
        extremes = (
            {int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])} if len(finite) else {int(inside[0])}
        )
        keep += sorted(extremes)
    return time_s[keep], values[keep]


def _colours() -> NDArray[np.float32]:
    """Inferno as (256, 3) RGB."""
    import cv2

    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)
    return np.asarray(ramp[:, 0, ::-1], dtype=np.float32)


def _label(pen: Any, text: str, x: int, y: int, *, size: int, above: bool) -> None:
    """White text on a dark plate, its lower left corner at (x, y), moved inside the picture."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    wide, high = right - left + 6, bottom - top + 4
    y = max(0, y - high) if above else y
    x = max(0, min(x, pen.im.size[0] - wide))
    pen.rectangle((x, y, x + wide, y + high), fill=(16, 20, 24))
    pen.text((x + 3 - left, y + 2 - top), text, font=font, fill=(255, 255, 255))


def _check_picture(pixels: NDArray[np.uint8]) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise BadInput(f"picture: expected shape (H, W, 3) of uint8, got {pixels.shape} of {pixels.dtype.name}.")
