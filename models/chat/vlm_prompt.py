"""A conversation as the tensors of one prompt, made to fit the model's context before anything is generated.

Where it is too long, pictures give way, oldest first: all are made smaller before one is left out, videos lose every second frame, and
what was done is said. Text never gives way. Qwen3-VL takes frames in pairs and prints one time per pair; pairs further apart than
`PAIR_GAP_S` would get a time at which nothing was seen, so each such frame is given twice and keeps its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from models.chat.messages import LEFT_OUT
from models.chat.vlm_messages import Clip, Medium, Turns

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.chat.vlm_loading import LoadedVlm

PICTURE_PIXELS = (1_048_576, 262_144, 65_536)
"""Most pixels of a picture at each step of shrinking."""
CLIP_STEPS = ((262_144, 1), (65_536, 1), (65_536, 2), (65_536, 4))
"""Most pixels of a frame, and which of them are kept (every n-th), at each step of shrinking."""
PAIR_GAP_S = 0.5
TILED_PICTURES = 2
"""So many pictures at most are shown in tiles by models that can; tiles multiply the tokens."""
CLOCK_HZ = 1000.0
"""Frame indices are given in milliseconds at this rate, so that uneven times are kept."""


@dataclass(frozen=True)
class Prompt:
    """Tensors on the model's device, how many tokens they are, and what had to give way."""

    inputs: dict[str, Any]
    tokens: int
    notes: tuple[str, ...]


def fit(
    loaded: LoadedVlm, turns: Turns, *, tools: Sequence[Mapping[str, Any]] = (), room: int, tiles: bool = True
) -> Prompt:  # fmt: skip
    """Encode `turns` in at most `room` tokens; `tiles` False shows every picture as a whole.

    Raises:
        BadInput: the text alone is longer than `room`.
    """
    draft = _Draft(loaded, turns, tools)
    draft.tiles = tiles and loaded.tiles and len(turns.media) <= TILED_PICTURES
    tokens = draft.tokens()
    if tokens > room:
        draft.shrink(room, tokens)
    return Prompt(draft.inputs(), draft.tokens(), draft.notes(room))


class _Draft:
    """The prompt at the present steps of shrinking; `levels[i]` past the last step means that `media[i]` is left out."""

    def __init__(self, loaded: LoadedVlm, turns: Turns, tools: Sequence[Mapping[str, Any]]) -> None:
        self.loaded, self.turns, self.tools = loaded, turns, tools
        self.levels = [0] * len(turns.media)
        self.tiles = self._untiled = False
        self._costs: dict[tuple[int, int, bool], int] = {}
        self._encoded: tuple[Any, Any] | None = None

    def tokens(self) -> int:
        return int(self._batch()["input_ids"].shape[1])

    def inputs(self) -> dict[str, Any]:
        moved = self._batch().to(self.loaded.device, dtype=self.loaded.model.dtype)
        return {key: value for key, value in moved.items() if key not in ("video_metadata", "rows", "cols")}

    def shrink(self, room: int, tokens: int) -> None:
        """Lower the levels until the prompt fits."""
        text = self._text_tokens(gone=True)
        if text > room:
            raise BadInput(
                f"The question with its evidence has {text:,} tokens, the model takes {room:,} beside its answer. "
                "Ask about fewer files or start a new chat."
            )
        if self.tiles:
            self.tiles, self._untiled = False, True
            tokens = self.tokens()
        aim, words = room, self._text_tokens(gone=False) - len(self.levels)  # a medium stands in the text as one token
        while tokens > room:
            estimate = words + sum(self._cost(i) for i in range(len(self.levels)))
            before = list(self.levels)
            for level, i in self._order():
                if estimate <= aim:
                    break
                saved = self._cost(i) - self._cost(i, level)
                if saved > 0:
                    self.levels[i] = level
                    estimate -= saved
            if before == self.levels:  # the estimate was short by a few tokens: the oldest that is left makes room
                i = next(i for i, level in enumerate(self.levels) if level < _last(self.turns.media[i]))
                self.levels[i] = _last(self.turns.media[i])
            tokens = self.tokens()
            aim -= max(0, tokens - room)

    def notes(self, room: int) -> tuple[str, ...]:
        """What gave way, in a sentence; nothing if all was shown in full."""
        gone = sum(level == _last(m) for level, m in zip(self.levels, self.turns.media, strict=True))
        small = sum(0 < level < _last(m) for level, m in zip(self.levels, self.turns.media, strict=True))
        parts = ["none shown in tiles"] if self._untiled else []
        parts += [f"{n} {what}" for n, what in ((small, "shown smaller or with fewer frames"), (gone, "left out")) if n]
        if not parts:
            return ()
        return (f"To fit {room:,} tokens, the oldest pictures and videos gave way (of {len(self.levels)}: {', '.join(parts)}).",)

    def _order(self) -> list[tuple[int, int]]:
        """(level, medium) in the order in which they give way: every shrinking before the first leaving out, the oldest first."""
        media = self.turns.media
        steps = max((_last(medium) for medium in media), default=0)
        shrinking = [(level, i) for level in range(1, steps) for i, m in enumerate(media) if self.levels[i] < level < _last(m)]
        return shrinking + [(_last(m), i) for i, m in enumerate(media) if self.levels[i] < _last(m)]

    def _cost(self, i: int, level: int | None = None) -> int:
        """Tokens of one medium at a level, counted by encoding it alone."""
        level = self.levels[i] if level is None else level
        key = (i, level, self.tiles)
        if key not in self._costs:
            medium, processor = self.turns.media[i], self.loaded.processor
            if level >= _last(medium):
                self._costs[key] = len(processor.tokenizer(LEFT_OUT)["input_ids"])
            else:
                text = processor.video_token if isinstance(medium, Clip) else processor.image_token
                self._costs[key] = int(self._process(text, [(medium, level)])["input_ids"].shape[1])
        return self._costs[key]

    def _text_tokens(self, *, gone: bool) -> int:
        """Tokens of the text, with every medium left out or with one placeholder for each."""
        return len(self.loaded.processor.tokenizer(self._text([gone] * len(self.levels)))["input_ids"])

    def _batch(self) -> Any:
        state = (tuple(self.levels), self.tiles)
        if self._encoded is None or self._encoded[0] != state:
            gone = [level >= _last(m) for level, m in zip(self.levels, self.turns.media, strict=True)]
            shown = [(m, level) for m, level, out in zip(self.turns.media, self.levels, gone, strict=True) if not out]
            self._encoded = (state, self._process(self._text(gone), shown))
        return self._encoded[1]

    def _text(self, gone: Sequence[bool]) -> str:
        """The prompt's text with a placeholder for every medium that is not gone."""
        turns = [
            {
                **turn,
                "content": [
                    {"type": "text", "text": LEFT_OUT} if "medium" in block and gone[block["medium"]] else
                    {"type": block["type"]} if "medium" in block else block
                    for block in turn["content"]
                ],
            }
            for turn in self.turns.turns
        ]  # fmt: skip
        tools = list(self.tools) if self.tools and self.loaded.native_tools else None
        return str(self.loaded.processor.apply_chat_template(turns, tools=tools, add_generation_prompt=True, tokenize=False))

    def _process(self, text: str, shown: Sequence[tuple[Medium, int]]) -> Any:
        options: dict[str, Any] = {}
        pictures = [_shrunk(m, PICTURE_PIXELS[level]) for m, level in shown if not isinstance(m, Clip)]
        clips = [_video(m, *CLIP_STEPS[level]) for m, level in shown if isinstance(m, Clip)]
        if pictures:
            options["images"] = pictures
            if self.loaded.tiles:
                options["do_image_splitting"] = self.tiles
        if clips:
            options |= {"videos": [frames for frames, _ in clips], "video_metadata": [about for _, about in clips]}
            options["do_sample_frames"] = False
        return self.loaded.processor(text=[text], return_tensors="pt", add_special_tokens=False, **options)


def _last(medium: Medium) -> int:
    """The level at which a medium is left out."""
    return len(CLIP_STEPS) if isinstance(medium, Clip) else len(PICTURE_PIXELS)


def _shrunk(picture: Image, pixels: int) -> Image:
    """The picture with at most `pixels` pixels, its shape kept."""
    from PIL.Image import Resampling

    scale = (pixels / (picture.width * picture.height)) ** 0.5
    if scale >= 1:
        return picture
    return picture.resize((max(1, int(picture.width * scale)), max(1, int(picture.height * scale))), Resampling.LANCZOS)


def _video(clip: Clip, pixels: int, every: int) -> tuple[Any, Any]:
    """Frames (T, H, W, 3) uint8 and their metadata, times kept to the millisecond."""
    import numpy as np
    from transformers.video_utils import VideoMetadata

    frames, times = clip.frames[::every], clip.times_s[::every]
    if len(frames) == 1 or any(b - a > PAIR_GAP_S for a, b in zip(times[::2], times[1::2], strict=False)):
        frames, times = _twice(frames), _twice(times)
    stack = np.stack([np.asarray(_shrunk(frame, pixels)) for frame in frames])
    about = VideoMetadata(
        total_num_frames=len(frames), fps=CLOCK_HZ, width=stack.shape[2], height=stack.shape[1],
        duration=times[-1] - times[0], frames_indices=[round(time_s * CLOCK_HZ) for time_s in times],
    )  # fmt: skip
    return stack, about


def _twice(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(item for item in items for _ in range(2))
