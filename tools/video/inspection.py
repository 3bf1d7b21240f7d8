"""Looking at a long video from coarse to fine: a skim, what lies around its strangest moments, then the rest.

1. Skim: moments spread evenly, one unit (0.2 s) of every 4 s or, in longer videos, MOMENTS of them. Each is just behind a key frame
   where there is one near, so that hardly anything else is decoded. Some of them are the bank that everything is compared with, so a long
   video is read once, not twice.
2. Close: from the strangest moment down, 3 s on either side are read in full, CLOSE_S seconds in all. A moment at the edge of what was
   read is treated alike, so a long event is followed to its ends. Only from here on can there be an event, for one moment alone
   is shorter than any.
3. Refine: the rest, in stretches of about 30 s. First those in which something reached half of the threshold, the strangest first; then, as
   an event shorter than the skim's step leaves no trace in it, all the others in an order that always halves the widest gap. It ends when
   all is read, when the time given is over, or when whoever watches stops it; what was read stays read, and it can be saved.

A unit's motion and appearance are the same numbers in all three. Appearance is looked at in every `looks`-th unit only, those between
lie between their neighbours. Small pictures are kept of five frames a second:
jumps of the picture, and whether it repeats itself, are known when all is read. A video that repeats itself is then compared anew, one
round with one round (`tools.video.repeats`), as its copies tell nothing else.

Memory: the bank, a batch, and about 4 MB for each minute (the whole process; 2.6 before boundaries were kept). Source: ours;
coarse-to-fine reading is common practice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.errors import BadInput
from core.progress import step
from core.samples import Frame, VideoClip
from core.scores import FrameScores
from tools.video.frame_bank import PARTS, Bank
from tools.video.frame_features import FrameFeatures, Units
from tools.video.part_numbers import Usual, part_numbers
from tools.video.reading_order import Stretch, halving, spread_evenly, stretches
from tools.video.repeats import Thumbnails
from tools.video.scenes import Scenes
from tools.video.unit_table import UnitTable

STEP_S, MOMENTS = 4.0, 720
"""One moment of so many seconds is skimmed, and no more than so many moments."""
CLOSE_S, AROUND_S = 90.0, 3.0
"""Seconds read in full after the skim, and on either side of a moment."""
STRETCH_S = 30.0
SUSPECT = 2.5
"""A score from which on a stretch is read before the others: half of the threshold without normal clips."""
NAME = "inspection"


class Inspection:
    """What has been read and measured of one clip so far: `skim`, then `refine` or `closer`, and `scores` at any time.

    Args:
        clip: a video longer than the bank.
        features: reads its units.
        bank: of normal clips; None: moments of the skim are compared with each other.
        usual: centre and spread of each part in normal clips.
        share: of the picture, that makes a part's number.
        bank_units: most units that are compared with.
        exclusion_s: without normal clips, moments closer than this are no comparison.
        looks: appearance is looked at in units whose number is a multiple of this.
    """

    def __init__(
        self, clip: VideoClip, features: FrameFeatures, bank: Bank | None, *, usual: Mapping[str, Usual] | None, share: float,
        bank_units: int, exclusion_s: float, looks: int,
    ) -> None:  # fmt: skip
        self.clip, self.total = clip, features.expected(clip)
        self._features, self._given, self._usual = features, bank, usual
        self._share, self._bank_units, self._exclusion_s = share, bank_units, exclusion_s
        self._unit_s = features.unit_of(clip)
        self._looks = looks
        self._table, self._seen = UnitTable(looks), Thumbnails(least_s=0.99 * self._unit_s)
        self._done: set[int] = set()  # stretches that were read to their end
        self._skimmed = False
        self._rounds: UnitTable | None = None  # one round of a video that repeats itself, compared anew

    @property
    def complete(self) -> bool:
        """True when all of the clip has been read."""
        return len(self._done) == len(self._stretches)

    @property
    def read(self) -> float:
        """Share (0 to 1) of the clip's units that were read."""
        return 1.0 if self.complete else min(1.0, len(self._table) / self.total)

    def skim(self) -> None:
        """Read the moments of the skim, then CLOSE_S seconds around the strangest.

        Raises:
            BadInput: no frame can be decoded.
            BudgetExceeded: stopped; what was read is kept.
        """
        if self._skimmed:
            return
        self._moments(lambda done: step("moments skimmed", done, len(self._chosen)))
        wanted_s, around = CLOSE_S, max(1, round(AROUND_S / self._unit_s))
        most = min(self.total - len(self._table), round(CLOSE_S / self._unit_s))
        begun = len(self._table)
        tried: set[int] = set()
        while wanted_s > 0 and (peak := self._strangest(tried, around)) is not None:
            tried.add(peak)
            had = len(self._table)
            for _ in self._stretch(max(0, peak - around), min(self.total, peak + around + 1)):
                step("moments around the strangest read", min(len(self._table) - begun, most), most)
            wanted_s -= max(1, len(self._table) - had) * self._unit_s
        self._skimmed = True

    def refine(self, budget_s: float = float("inf")) -> bool:
        """Read on, for about `budget_s` seconds; True when all has been read.

        Raises:
            BadInput: no frame can be decoded.
            BudgetExceeded: stopped by whoever watches; what was read is kept.
        """
        end = time.monotonic() + budget_s
        self._moments(lambda done: step("video units scored", done, self.total))
        for number in self._order():
            for _ in self._stretch(*self._stretches[number]):
                step("video units scored", min(len(self._table), self.total), self.total)
                if time.monotonic() > end:
                    return self.complete
            self._done.add(number)
        self._compare_rounds()
        return True

    def closer(self, start_s: float, end_s: float) -> None:
        """Read what lies between two times in full.

        Raises:
            BadInput: no frame can be decoded.
            BudgetExceeded: stopped; what was read is kept.
        """
        self._moments(lambda done: step("moments skimmed", done, len(self._chosen)))
        first = min(max(0, int(start_s / self._unit_s)), self.total)
        last = min(self.total, int(np.ceil(end_s / self._unit_s)))
        begun = len(self._table)
        for _ in self._stretch(first, last):
            step("video units scored", min(len(self._table) - begun, last - first), last - first)

    def scores(self) -> FrameScores:
        """What is known so far; `every_s` and `read` say how much was read."""
        complete = self.complete
        scenes = self._seen.scenes() if complete else Scenes((), (0,), (self.clip.duration_s,))
        table = self._rounds or self._table
        return table.scores(
            self.clip, self._unit_s, scenes, usual=self._usual, round_s=self._round_s if self._rounds is not None else None,
            typical=None if complete else self._chosen, every_s=None if complete else self._every_s, read=self.read,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Keep what was measured, so that another process can go on."""
        arrays = dict(self._table.columns()) | {
            "done": np.asarray(sorted(self._done), np.int64), "seen_s": np.asarray(self._seen.seconds),
            "seen": np.stack(self._seen.pictures) if self._seen.pictures else np.zeros((0, 1), np.float16),
        }  # fmt: skip
        save_arrays(path, name=NAME, parameters={"total": self.total}, arrays=arrays, state={"skimmed": self._skimmed})

    def resume(self, path: Path) -> None:
        """Take over what `save` kept of the same clip.

        Raises:
            BadInput: the file is missing or damaged, or of a clip of another length.
        """
        parameters, arrays, state = load_arrays(path, name=NAME)
        if parameters["total"] != self.total:
            raise BadInput(f"{path.name!r}: expected an inspection of {self.total} units, got one of {parameters['total']}.")
        if "number" in arrays and "traits" not in arrays:
            raise BadInput(f"{path.name!r}: expected what each unit looks like, got an inspection of an earlier version.")
        self._done = {int(number) for number in arrays.pop("done")}
        self._seen.seconds, self._seen.pictures = arrays.pop("seen_s").tolist(), list(arrays.pop("seen"))
        if arrays:
            self._table.take(arrays)
        self._skimmed = bool(state["skimmed"])
        if self.complete:
            self._compare_rounds()

    @cached_property
    def _cheap(self) -> list[int] | None:
        """Units that decoding a key frame gives at once; None: all are."""
        keys = self.clip.key_s
        return None if keys is None else [self._features.first_whole(self.clip, float(key)) for key in keys]

    @cached_property
    def _chosen(self) -> NDArray[np.int64]:
        """Numbers of the skim's units."""
        wanted = min(MOMENTS, max(self._bank_units, int(np.ceil(self.clip.duration_s / STEP_S))))
        return spread_evenly(self.total, wanted, self._cheap)

    @property
    def _every_s(self) -> float:
        return self.clip.duration_s / len(self._chosen)

    @cached_property
    def _stretches(self) -> list[Stretch]:
        return stretches(self.total, max(1, round(STRETCH_S / self._unit_s)), self._cheap)

    @cached_property
    def _bank(self) -> Bank:
        if self._given is not None:
            return self._given
        chosen = self._chosen[spread_evenly(len(self._chosen), self._bank_units)]
        batches = list(self._features.at(self.clip, chosen.tolist(), watch=self._watched))
        if not batches:
            batches = list(self._features.read(self.clip, every=max(1, self.total // self._bank_units), watch=self._watched))
        if not batches:
            raise BadInput(f"video {self.clip.name!r}: no frame could be decoded; try another file.")
        bank = Bank.of([(0, units) for units in batches])
        for units in batches:
            self._take(units, bank)
        return bank

    @property
    def _watched(self) -> Callable[[Iterator[Frame]], Iterator[Frame]]:
        return self._seen.watch

    def _moments(self, told: Callable[[int], None]) -> None:
        """Read those units of the skim that were not read yet; the bank is the first of them."""
        _ = self._bank
        told(len(self._table))
        missing = [number for number in self._chosen.tolist() if number not in self._table.have]
        if self._skimmed or not missing:
            return
        for units in self._features.at(self.clip, missing, watch=self._watched):
            self._take(units, self._bank)
            told(min(len(self._table), len(self._chosen)))

    def _stretch(self, first: int, last: int) -> Iterator[None]:
        """Read and compare what is missing of a stretch; a turn after every batch."""
        have = self._table.have
        if all(number in have for number in range(first, last)):
            return
        batches = self._features.stretch(
            self.clip, first, last, lambda number: number not in have, looks=self._looks, watch=self._watched
        )
        for units in batches:
            self._take(units, self._bank)
            yield

    def _take(self, units: Units, bank: Bank) -> None:
        new = np.asarray([int(number) not in self._table.have for number in units.number])
        if not new.all():  # the bank is read again when an inspection is taken up by another process
            return
        self._table.add(units, self._measured(bank, units, None))

    def _measured(
        self, bank: Bank, units: Units, round_s: float | None
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]:
        if self._given is None:
            allowed = bank.without_neighbours(units.seconds, self._exclusion_s, round_s)
        else:
            allowed = np.ones((len(units), len(bank)), np.bool_)
        return {part: part_numbers(bank, units, part, allowed, self._share, thorough=False) for part in PARTS}

    def _scored(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers and scores of the units read so far."""
        known = self._table.scores(
            self.clip, self._unit_s, Scenes((), (0,), (self.clip.duration_s,)), usual=self._usual, typical=self._chosen
        )
        return self._table.columns()["number"], known.scores

    def _strangest(self, tried: set[int], around: int) -> int | None:
        """Number of the strangest unit around which something is missing."""
        numbers, values = self._scored()
        for row in np.argsort(-values, kind="stable"):
            number = int(numbers[row])
            low, high = max(0, number - around), min(self.total, number + around + 1)
            if number not in tried and any(other not in self._table.have for other in range(low, high)):
                return number
        return None

    def _order(self) -> list[int]:
        """Stretches that are not done: suspects first, the strangest first; then the others, halving gaps."""
        numbers, values = self._scored()
        peaks = {
            index: float(values[(numbers >= first) & (numbers < last)].max(initial=0.0))
            for index, (first, last) in enumerate(self._stretches)
        }
        suspects = sorted((i for i, peak in peaks.items() if peak >= SUSPECT), key=lambda i: -peaks[i])
        return [i for i in dict.fromkeys([*suspects, *halving(len(self._stretches))]) if i not in self._done]

    @cached_property
    def _round_s(self) -> float | None:
        return self._seen.round_s() if self._given is None else None

    def _compare_rounds(self) -> None:
        """Compare the units of one round with that round, without copies, and let them speak for their copies."""
        if self._rounds is not None or self._round_s is None:
            return
        round_s = self._round_s
        last = min(self.total, int(np.ceil(round_s / self._unit_s)))
        first = self._features.stretch
        every = max(1, int(np.ceil(last / self._bank_units)))
        bank = Bank.of([(0, units) for units in first(self.clip, 0, last, lambda number: number % every == 0)])
        once = UnitTable(self._looks)
        for units in first(self.clip, 0, last, lambda _: True, looks=self._looks if every > 1 else 1):
            once.add(units, self._measured(bank, units, round_s))
            step("units of one round compared without copies", len(once), last)
        kept, told = self._table.columns(), once.columns()
        borders = (told["seconds"][1:] + told["seconds"][:-1]) / 2
        nearest = np.searchsorted(borders, kept["seconds"] % round_s)
        self._rounds = UnitTable(self._looks)
        copied = {name: told[name][nearest] for name in told if name not in ("number", "seconds", "frame")}
        self._rounds.take(copied | {name: kept[name] for name in ("number", "seconds", "frame")})
