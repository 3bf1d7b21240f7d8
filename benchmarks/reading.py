"""`python -m benchmarks.reading [--write]`: fit the readers of questions (`agent/reader_*.npz`) and say how well they read others.

Questions with their fair readings: `benchmarks/questions.jsonl`, written for this by several hands, and those of `tests/agent` that may
be looked at; the blind sets are never touched. Without `--write` every seventh question of `benchmarks/questions.jsonl` is left out and
graded; with it, everything is learned from. In each pass every fifth message has a wrong letter, as people type, and every third that
stands alone follows a message about something else, so that the reader does not take what was asked before for what is asked.

Loss: of the readings that are fair, one is enough, so 0.7 of it is −log of the probability of all fair ones together, and 0.3 the
cross-entropy with them evenly, without which one reading takes all.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent.question import INTENTS
from agent.reader import COMMAND, WAYS, WEIGHTS, message, way_of
from models.question_reader import SCALE, names_adapted, pool, to_arrays, tokens

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]
WRITTEN = ROOT / "benchmarks" / "questions.jsonl"
TESTS = ROOT / "tests" / "agent"
BLIND = ("fifth", "sixth", "eighth", "ninth")
LEFT_OUT = 7
RANK, PASSES, BATCH = 16, 12, 32
PEAK, PEAK_HEADS = 1e-3, 2e-3
DROPPED = 0.1
TOGETHER = 0.7
MISTYPED, FOLLOWING = 1 / 5, 1 / 3
"""Shares of messages with a wrong letter, and of those that stand alone that are learned behind another message."""
LABELS: dict[str, tuple[str, ...]] = {"intents": (*INTENTS, COMMAND), "ways": WAYS}
KINDS = {
    **dict.fromkeys(("clip", "yard"), ("video",)), **dict.fromkeys(("tiles", "tile2"), ("image",)),
    **dict.fromkeys(("pump", "temp", "week"), ("series",)), **dict.fromkeys(("log", "host", "server"), ("events",)),
    **dict.fromkeys(("all", "mixed"), ("video", "series", "events")), "empty": (),
}  # fmt: skip
"""Kinds of the files in the chats of the sets."""


@dataclass(frozen=True)
class Asked:
    """A question with what was asked before it, and the indices of its fair labels by head (none: not learned from)."""

    group: str
    kinds: tuple[str, ...]
    text: str
    before: str
    fair: dict[str, tuple[int, ...]]
    readings: tuple[frozenset[str], ...]
    answered_by: tuple[frozenset[str], ...]


def fair(spec: str, labels: Sequence[str], name: Callable[[str], str] = str) -> tuple[int, ...]:
    """Indices of the labels that are fair alone, or of all in them where none is; what is no label is left out.

    >>> fair("b|a c|z", ["a", "b", "c"]), fair("a c", ["a", "b", "c"])
    ((1,), (0, 2))
    """
    every = [{name(part) for part in one.split()} for one in spec.split("|")]
    known = [one for one in every if one <= set(labels)]
    alone = [one for one in known if len(one) == 1]
    return tuple(sorted({labels.index(part) for one in alone or known for part in one}))


def _asked(group: str, chat: str, text: str, intents: str, before: str, tools: str) -> Asked:
    known = {"intents": fair(intents, LABELS["intents"])}
    if ways := fair(tools, WAYS, way_of):
        known["ways"] = ways
    return Asked(
        group, KINDS[chat.rstrip("+")], text, before, known, tuple(frozenset(one.split()) for one in intents.split("|")),
        tuple(frozenset(map(way_of, one.split())) for one in tools.split("|")),
    )  # fmt: skip


def questions() -> list[Asked]:
    """All questions that may be learned from."""
    found = []
    for line in (TESTS / "questions.jsonl").read_text("utf-8").splitlines():
        chat, text, intents, wanted = json.loads(line)
        found.append(_asked("questions", chat, text, intents or "overview", wanted.get("before", ""), ""))
    for path in (TESTS / "questions_heldout.jsonl", WRITTEN):
        for line in path.read_text("utf-8").splitlines():
            group, chat, text, intents, wanted, tools = json.loads(line)
            if group not in BLIND:
                found.append(
                    _asked("written" if path == WRITTEN else group, chat, text, intents, wanted.get("before", ""), tools)
                )
    return found


def mistyped(text: str, rng: random.Random) -> str:
    """The message with one letter of a longer word swapped, dropped, doubled or replaced."""
    words = list(re.finditer(r"[a-z]{4,}", text))
    if not words:
        return text
    found = rng.choice(words)
    word, at = found[0], rng.randrange(1, len(found[0]) - 1)
    edits = (word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:],
             word[:at] + rng.choice("aeiourtnsl") + word[at + 1 :])  # fmt: skip
    return text[: found.start()] + rng.choice(edits) + text[found.end() :]


class Fit:
    """Adapters and heads while they are learned."""

    def __init__(self, *, seed: int = 0) -> None:
        import torch
        from torch.nn.functional import linear

        from models.text import BertBody, weights

        torch.manual_seed(seed)
        self.rng = random.Random(seed)
        self.earlier: dict[tuple[str, ...], list[str]] = {}
        base = weights()
        self.adapters = {}
        for name in names_adapted():
            out, into = base[f"{name}.weight"].shape
            self.adapters[name] = (
                (torch.randn(RANK, into) / into**0.5).requires_grad_(), torch.zeros(out, RANK).requires_grad_(),
            )  # fmt: skip
        self.heads = {
            name: ((0.02 * torch.randn(len(labels), 768)).requires_grad_(), torch.zeros(len(labels)).requires_grad_())
            for name, labels in LABELS.items()
        }
        adapters = self.adapters

        class Adapted(BertBody):
            def _linear(self, x: torch.Tensor, at: str) -> torch.Tensor:
                a, b = adapters[at]
                return super()._linear(x, at) + SCALE * linear(linear(x, a), b)

        self.body = Adapted(base)

    def learn(self, asked: Sequence[Asked]) -> None:
        """Learn from the questions in PASSES passes."""
        import torch

        for one in asked:
            self.earlier.setdefault(one.kinds, []).append(one.text)
        thin = [t for pair in self.adapters.values() for t in pair]
        heads = [t for pair in self.heads.values() for t in pair]
        optimiser = torch.optim.AdamW([{"params": thin, "lr": PEAK}, {"params": heads, "lr": PEAK_HEADS}], weight_decay=0.01)
        batches = [list(self._batches(asked)) for _ in range(PASSES)]
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [PEAK, PEAK_HEADS], total_steps=sum(map(len, batches)) + 1, pct_start=0.1
        )
        started = time.monotonic()
        for number, passed in enumerate(batches, start=1):
            total = 0.0
            for batch in passed:
                with torch.autocast("cpu", dtype=torch.bfloat16):  # nearly twice as fast; what is learned stays in float32
                    loss = self._loss(batch)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(thin, 1.0)
                optimiser.step()
                schedule.step()
                total += float(loss.detach())
            sys.stdout.write(f"pass {number} of {PASSES}: loss {total / len(passed):.3f}, {time.monotonic() - started:.0f} s\n")
            sys.stdout.flush()

    def _batches(self, asked: Sequence[Asked]) -> Iterator[list[Asked]]:
        """Batches of messages of similar length, in random order."""
        order = self.rng.sample(range(len(asked)), len(asked))
        batches = []
        for start in range(0, len(order), 16 * BATCH):
            near = sorted(order[start : start + 16 * BATCH], key=lambda i: len(asked[i].text) + len(asked[i].before))
            batches += [near[first : first + BATCH] for first in range(0, len(near), BATCH)]
        self.rng.shuffle(batches)
        for batch in batches:
            yield [asked[i] for i in batch]

    def _loss(self, batch: Sequence[Asked]) -> torch.Tensor:
        import torch

        said = []
        for one in batch:
            earlier = one.before or (self.rng.choice(self.earlier[one.kinds]) if self.rng.random() < FOLLOWING else "")
            text, before = message(one.text, one.kinds, earlier)
            said.append((mistyped(text, self.rng) if self.rng.random() < MISTYPED else text, before))
        pooled = torch.nn.functional.dropout(pool(self.body, *tokens(said), dropped=DROPPED), DROPPED)
        total = pooled.new_zeros(())
        for name, (weight, bias) in self.heads.items():
            rows = [row for row, one in enumerate(batch) if name in one.fair]
            if not rows:
                continue
            logs = (pooled[rows] @ weight.T + bias).log_softmax(1)
            wanted = torch.zeros_like(logs)
            for row, index in enumerate(rows):
                wanted[row, list(batch[index].fair[name])] = 1
            together = -logs.masked_fill(wanted == 0, -1e9).logsumexp(1)
            evenly = -(logs * wanted / wanted.sum(1, keepdim=True)).sum(1)
            total = total + (TOGETHER * together + (1 - TOGETHER) * evenly).sum() / len(batch)
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept."""
        return to_arrays(self.adapters, self.heads, LABELS)


def grade(fitted: Sequence[dict[str, np.ndarray]], asked: Sequence[Asked]) -> dict[str, float]:
    """Shares of questions whose intent, whose way, and whose both are fair."""
    from agent.reader import reading_of
    from models.question_reader import Committee, from_arrays

    readers = Committee(tuple(from_arrays(arrays) for arrays in fitted))
    right = []
    for one in asked:
        found = reading_of(readers.read(*message(one.text, one.kinds, one.before)), one.kinds)
        right.append((frozenset((found.intent,)) in one.readings, frozenset((found.way,)) in one.answered_by))
    table = np.array(right)
    return {"intent": float(table[:, 0].mean()), "way": float(table[:, 1].mean()), "both": float(table.all(axis=1).mean())}


def _fitted(seed: int, learned: Sequence[Asked]) -> dict[str, np.ndarray]:
    """One reader, in a process of its own: the messages are short, so that two with a thread each take half as long as in turn."""
    import torch

    torch.set_num_threads(1)
    fit = Fit(seed=seed)
    fit.learn(learned)
    return fit.arrays()


def main() -> None:
    """Fit, one reader per seed, and grade what was left out, or keep the weights."""
    asked = questions()
    written = [a for a in asked if a.group == "written"]
    out = [] if "--write" in sys.argv[1:] else written[::LEFT_OUT]
    kept = set(map(id, out))
    learned = [a for a in asked if id(a) not in kept]
    with ProcessPoolExecutor(len(WEIGHTS), mp_context=get_context("spawn")) as pool:
        fitted = list(pool.map(_fitted, range(len(WEIGHTS)), [learned] * len(WEIGHTS)))
    if out:
        shares = ", ".join(f"{name} {share:.3f}" for name, share in grade(fitted, out).items())
        sys.stdout.write(f"{len(out)} questions left out of {len(asked)}: {shares}\n")
        return
    for name, arrays in zip(WEIGHTS, fitted, strict=True):
        path = ROOT / "agent" / name
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes, fitted on {len(asked)} questions\n")


if __name__ == "__main__":
    main()
