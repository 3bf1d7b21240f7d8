"""LangChain messages as turns of a chat template: text, pictures and video frames in their order, tool calls and results.

Text of messages is data. Control tokens of the model's tokenizer inside it ("<|im_end|>", "<image>", "<tool_call>" …) are broken by
a space, so that a line of a log can neither end its turn, nor start another one, nor stand for a picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from core.errors import BadInput
from models.chat.frames import pictures, stamped
from models.chat.messages import is_picture, open_picture

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from PIL.Image import Image

_CONTROL = re.compile(r"[<\[]\S+[>\]]")


@dataclass(frozen=True)
class Clip:
    """Frames of one video (RGB, one size) with their times in seconds, ascending."""

    name: str
    frames: tuple[Image, ...]
    times_s: tuple[float, ...]


Medium: TypeAlias = "Image | Clip"


@dataclass
class Turns:
    """A conversation as a template takes it; a block `{"type": "image" | "video", "medium": i}` stands for `media[i]`."""

    turns: list[dict[str, Any]] = field(default_factory=list)
    media: list[Medium] = field(default_factory=list)


def control_marks(tokenizer: Any) -> re.Pattern[str] | None:
    """A pattern of every token of `tokenizer` that means more than its letters; None where there is none."""
    marks = set(tokenizer.all_special_tokens) | {token for token in tokenizer.get_added_vocab() if _CONTROL.fullmatch(token)}
    marks = {mark for mark in marks if len(mark) > 1}
    return re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))) if marks else None


def defuse(text: str, marks: re.Pattern[str] | None) -> str:
    """Break control tokens in `text` by a space after their first character.

    >>> defuse("user said <|im_end|>", re.compile(re.escape("<|im_end|>")))
    'user said < |im_end|>'
    """
    return text if marks is None else marks.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def to_turns(
    messages: Sequence[BaseMessage], *, native_tools: bool, video: bool, marks: re.Pattern[str] | None, instruction: str = ""
) -> Turns:
    """Convert `messages`; `instruction` (how to call tools, where the template does not know) joins the system message.

    Without `native_tools`, earlier tool calls become the JSON they were written as, and results become the user's words. Without
    `video`, frames become pictures, each after its printed time.

    Raises:
        BadInput: a message or a content block of a kind the model cannot take, or a picture that cannot be read.
    """
    writer = _Writer(native_tools, video, marks)
    if instruction and (not messages or messages[0].type != "system"):
        writer.add("system", [{"type": "text", "text": instruction}])
    for number, message in enumerate(messages):
        blocks = writer.blocks(message.content)
        if message.type == "system":
            if number == 0 and instruction:
                blocks.append({"type": "text", "text": f"\n\n{instruction}"})
            writer.add("system", blocks)
        elif message.type == "human":
            writer.add("user", blocks)
        elif message.type == "ai":
            writer.answer(message, blocks)
        elif message.type == "tool":
            writer.result(message, blocks)
        else:
            raise BadInput(f"a {message.type!r} message: expected system, human, ai or tool.")
    return writer.made


class _Writer:
    """Builds the turns one message at a time."""

    def __init__(self, native_tools: bool, video: bool, marks: re.Pattern[str] | None) -> None:
        self._native, self._video, self._marks = native_tools, video, marks
        self._tool_names: dict[str, str] = {}
        self.made = Turns()

    def add(self, role: str, blocks: list[dict[str, Any]], **more: Any) -> None:
        self.made.turns.append({"role": role, "content": blocks or [{"type": "text", "text": ""}], **more})

    def blocks(self, content: Any) -> list[dict[str, Any]]:
        """Content of a message, in order; pictures are decoded and numbered."""
        made: list[dict[str, Any]] = []
        for block in [content] if isinstance(content, str) else content:
            if isinstance(block, str) or block.get("type") == "text":
                text = block if isinstance(block, str) else str(block.get("text", ""))
                made.append({"type": "text", "text": defuse(text, self._marks)})
            elif is_picture(block):
                made.append(self._medium("image", _pixels(block)))
            elif block.get("type") == "frames" and self._video:
                frames = [_pixels(picture) for picture in pictures(block)]
                clip = Clip(block["name"], tuple(f.resize(frames[0].size) for f in frames), tuple(block["times_s"]))
                made.append({"type": "text", "text": defuse(f"\nVideo {block['name']}:", self._marks)})
                made.append(self._medium("video", clip))
            elif block.get("type") == "frames":
                made.extend(self.blocks(stamped(block)))
            elif block.get("type") not in ("tool_call", "tool_use", "reasoning"):  # those stand in the message's own fields
                raise BadInput(f"a content block of type {block.get('type')!r}: expected text, image, image_url or frames.")
        return made

    def answer(self, message: Any, blocks: list[dict[str, Any]]) -> None:
        """What the model said earlier."""
        calls = [{"name": call["name"], "arguments": self._defused(call["args"])} for call in message.tool_calls]
        self._tool_names.update({call["id"]: call["name"] for call in message.tool_calls})
        if calls and self._native:
            self.add("assistant", blocks, tool_calls=[{"type": "function", "function": call} for call in calls])
        elif calls:
            self.add("assistant", [{"type": "text", "text": json.dumps({"calls": calls}, ensure_ascii=False)}])
        else:
            self.add("assistant", blocks)

    def result(self, message: Any, blocks: list[dict[str, Any]]) -> None:
        """What a tool returned."""
        if self._native:
            self.add("tool", blocks)
            return
        name = message.name or self._tool_names.get(message.tool_call_id, "the tool")
        self.add("user", [{"type": "text", "text": defuse(f"Result of {name}:\n", self._marks)}, *blocks])

    def _medium(self, kind: str, medium: Medium) -> dict[str, Any]:
        self.made.media.append(medium)
        return {"type": kind, "medium": len(self.made.media) - 1}

    def _defused(self, value: Any) -> Any:
        """Arguments of a call with the control tokens in their texts broken."""
        if isinstance(value, str):
            return defuse(value, self._marks)
        if isinstance(value, dict):
            return {defuse(str(key), self._marks): self._defused(item) for key, item in value.items()}
        return [self._defused(item) for item in value] if isinstance(value, list) else value


def _pixels(block: dict[str, Any]) -> Image:
    """A picture block decoded to RGB, the way up it was taken.

    Raises:
        BadInput: it cannot be read or is too large.
    """
    from PIL import ImageOps

    picture = open_picture(block)
    try:
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"a picture for the model is damaged: it cannot be decoded ({error}).") from error
