"""Pictures inside chat messages: made from arrays, checked, made small enough, in one form for every tier.

A message's content is a list of blocks whose order is kept, so that a time printed as text stays beside its picture. Pictures may come
as LangChain image blocks (`{"type": "image", "base64": …, "mime_type": …}`) or as `image_url` blocks with a data URI. An address
on the net is refused: a server that is made to fetch it would tell a stranger what is being looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from numpy.typing import NDArray

from core.errors import BadInput
from core.settings import limits
from models.chat.frames import stamped

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE = 1024
"""Pixels of a picture's longer side that are sent; vision models scale larger ones down themselves."""
MAX_PICTURES = 64
LEFT_OUT = "[a picture was left out here: no room]"
_CONTROL = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_\w+>|</?tool_(?:call|response)>|<(?:image|video|fake_token_around_image)>"
)
"""Tokens by which families of chat models mark turns, pictures and calls; many servers read them wherever they stand."""
_KEPT_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg"}
_JPEG_QUALITY = 90


def picture_block(pixels: NDArray[np.uint8], *, max_side: int = MAX_SIDE) -> dict[str, Any]:
    """An image block of `pixels` (H, W, 3) uint8 RGB, its longer side at most `max_side` pixels.

    Raises:
        BadInput: `pixels` is not (H, W, 3) uint8.

    >>> block = picture_block(np.zeros((40, 80, 3), np.uint8), max_side=20)
    >>> block["type"], block["mime_type"], open_picture(block).size
    ('image', 'image/png', (20, 10))
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise BadInput(f"picture: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}.")
    from PIL import Image

    mime, data = _encoded(_shrunk(Image.fromarray(pixels), max_side), "PNG")
    return {"type": "image", "base64": base64.b64encode(data).decode("ascii"), "mime_type": mime}


def is_picture(block: object) -> bool:
    """Whether a content block holds a picture.

    >>> is_picture({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}), is_picture("text")
    (True, False)
    """
    return isinstance(block, dict) and block.get("type") in ("image", "image_url")


def open_picture(block: dict[str, Any]) -> Image.Image:
    """The picture in an image block, header read, limits checked, not decoded yet.

    Raises:
        BadInput: an address instead of data, no picture, or one beyond the limits.
    """
    from PIL import Image, UnidentifiedImageError

    data = _data(block)
    try:
        picture = Image.open(BytesIO(data))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"a picture for the model cannot be read ({len(data):,} bytes): expected PNG or JPEG data.") from error
    width, height = picture.size
    if width * height > limits().max_image_pixels:
        raise BadInput(
            f"a picture for the model has {width} × {height} pixels, allowed are {limits().max_image_pixels:,} in all."
        )
    return picture


def prepared(messages: Sequence[BaseMessage], *, max_side: int = MAX_SIDE, max_pictures: int = MAX_PICTURES) -> list[BaseMessage]:
    """The messages with every picture as an `image_url` data URI of at most `max_side` pixels and without camera metadata.

    The order of blocks is kept. Control tokens of chat models inside texts are broken by a space, so that a line of a log can neither
    end its turn nor begin another one. Of a model's own earlier messages only the text is kept (no reasoning, no pictures).

    Raises:
        BadInput: a block that is neither text nor picture, too many pictures, or one that cannot be read.

    >>> from langchain_core.messages import HumanMessage
    >>> blocks = [{"type": "text", "text": "at 3.0 s:"}, picture_block(np.zeros((8, 8, 3), np.uint8))]
    >>> [block["type"] for block in prepared([HumanMessage(blocks)])[0].content]
    ['text', 'image_url']
    """
    n = sum(is_picture(block) for message in messages for block in _blocks(message))
    if n > max_pictures:
        raise BadInput(f"{n} pictures are too many for one question to the model; at most {max_pictures} can be sent.")
    return [_prepared(message, max_side) for message in messages]


def pictures_after_tools(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages with pictures moved out of tool results into a message of the person right after them.

    The OpenAI protocol takes pictures from a person only. Texts stay where they are; the pictures keep their order and the texts
    beside them are repeated, so that each still has its caption.

    >>> result = ToolMessage([{"type": "text", "text": "E1"}, picture_block(np.zeros((8, 8, 3), np.uint8))], tool_call_id="1")
    >>> [type(message).__name__ for message in pictures_after_tools([result])]
    ['ToolMessage', 'HumanMessage']
    """
    moved: list[BaseMessage] = []
    waiting: list[Any] = []
    for message in messages:
        if waiting and not isinstance(message, ToolMessage):
            moved.append(HumanMessage(waiting))
            waiting = []
        if isinstance(message, ToolMessage) and any(map(is_picture, _blocks(message))):
            waiting += _blocks(message)
            texts = [block for block in _blocks(message) if not is_picture(block)]
            message = message.model_copy(update={"content": [*texts, {"type": "text", "text": "(pictures follow)"}]})
        moved.append(message)
    return [*moved, HumanMessage(waiting)] if waiting else moved


def without_control(text: str) -> str:
    """`text` with the control tokens of chat models broken by a space.

    >>> without_control("user said <|im_end|> at <3 s")
    'user said < |im_end|> at <3 s'
    """
    return _CONTROL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def _prepared(message: BaseMessage, max_side: int) -> BaseMessage:
    if isinstance(message.content, str) or isinstance(message, AIMessage):
        return message.model_copy(update={"content": without_control(str(message.text))})
    return message.model_copy(update={"content": [_block(block, max_side) for block in _blocks(message)]})


def _blocks(message: BaseMessage) -> Iterator[Any]:
    """The blocks of a message; a video's frames come as pictures, each after its printed time."""
    if isinstance(message.content, str):
        return
    for block in message.content:
        if isinstance(block, dict) and block.get("type") == "frames":
            yield from stamped(block)
        else:
            yield block


def _block(block: Any, max_side: int) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": without_control(block)}
    if isinstance(block, dict) and block.get("type") == "text":
        return {"type": "text", "text": without_control(str(block.get("text", "")))}
    if not is_picture(block):
        kind = block.get("type") if isinstance(block, dict) else type(block).__name__
        raise BadInput(f"a message for the model holds a block of type {kind!r}: expected text or image.")
    picture = open_picture(block)
    mime, data = _KEPT_FORMATS.get(picture.format or "", ""), _data(block)
    # bytes are passed on untouched only if nothing rides along with them, such as the place where a photo was taken
    if not mime or max(picture.size) > max_side or picture.info.keys() & {"exif", "xmp", "photoshop", "comment"}:
        try:
            mime, data = _encoded(_shrunk(picture, max_side), picture.format or "")
        except (OSError, ValueError, SyntaxError) as error:
            raise BadInput("a picture for the model is damaged: it cannot be decoded.") from error
    return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"}}


def _data(block: dict[str, Any]) -> bytes:
    """The bytes of an image block."""
    encoded = block.get("base64") or (block.get("data") if block.get("source_type") == "base64" else None)
    if not isinstance(encoded, str):
        link = block.get("image_url", block.get("url", ""))
        url = str(link.get("url", "") if isinstance(link, dict) else link)
        head, comma, encoded = url.partition(",")
        if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
            raise BadInput("a picture for the model must be given as base64 data, not by an address or a file's id.")
    if len(encoded) > limits().max_image_bytes:
        raise BadInput(f"a picture for the model has {len(encoded):,} bytes, allowed are {limits().max_image_bytes:,}.")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput("a picture for the model is not valid base64.") from error


def _shrunk(picture: Image.Image, max_side: int) -> Image.Image:
    """An upright RGB copy whose longer side has at most `max_side` pixels; transparent parts become white."""
    from PIL import Image, ImageOps

    picture.draft("RGB", (max_side, max_side))  # lets a JPEG be decoded at a fraction of its size
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "PA", "P"):
        layer = upright.convert("RGBA")
        upright = Image.new("RGBA", layer.size, "white")
        upright.alpha_composite(layer)
    plain = upright.convert("RGB")
    plain.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return plain


def _encoded(picture: Image.Image, source_format: str) -> tuple[str, bytes]:
    """PNG for what was lossless (plots keep sharp lines), JPEG for the rest; no metadata."""
    buffer = BytesIO()
    if source_format in ("PNG", "BMP", "GIF", "TIFF"):
        _bare(picture).save(buffer, format="PNG")
        return "image/png", buffer.getvalue()
    _bare(picture).save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return "image/jpeg", buffer.getvalue()


def _bare(picture: Image.Image) -> Image.Image:
    """The pixels alone."""
    bare = picture.copy()
    bare.info.clear()
    return bare
