"""A small recurrent network that says which event comes next (after Du et al., DeepLog, CCS 2017), with a GRU of one layer.

Axes: tokens (B, T) are codes 0 to V − 1, V stands for an unknown one, V + 1 for the start; surprises are −log probabilities in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.progress import step

Ints = NDArray[np.int64]
STRETCH, WARM = 64, 16
"""Tokens of a training piece, of which the first WARM only set the state unless the sequence begins there."""
FORGET = 0.01
"""Share of tokens that are hidden in training, so that the unknown one is known."""
PADDED = -1


@dataclass(frozen=True, kw_only=True)
class NextTraining:
    """How a network is trained: at most `steps` batches of `batch` pieces; it ends early when checks bring no gain."""

    width: int = 64
    steps: int = 600
    batch: int = 32
    rate: float = 5e-3
    checks: int = 15
    patience: int = 3
    seed: int = 0


class NextEvent(nn.Module):
    """Logits (B, T, V + 1) of the next token after each of (B, T), and the state (1, B, H) behind the last.

    >>> network = NextEvent(5, width=8)
    >>> network(torch.tensor([[6, 0, 1]]))[0].shape
    torch.Size([1, 3, 6])
    """

    def __init__(self, vocabulary: int, *, width: int, seed: int = 0) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.place = nn.Embedding(vocabulary + 2, width)
            self.memory = nn.GRU(width, width, batch_first=True)
            self.next = nn.Linear(width, vocabulary + 1)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One pass."""
        hidden, state = self.memory(self.place(tokens), state)
        return self.next(hidden), state


def train_next(sequences: Sequence[Ints], held_out: Sequence[Ints], vocabulary: int, training: NextTraining) -> NextEvent:
    """Learn from sequences of codes; the state of the best check on `held_out` is kept."""
    network = NextEvent(vocabulary, width=training.width, seed=training.seed)
    pieces, counted = _pieces(sequences, vocabulary)
    checked, checked_counted = _pieces(held_out, vocabulary)
    generator = torch.Generator().manual_seed(training.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=training.rate)
    best, losses = {k: v.clone() for k, v in network.state_dict().items()}, list[float]()
    every = max(1, training.steps // training.checks)
    for number in range(training.steps):
        optimiser.param_groups[0]["lr"] = training.rate * (1.0 - number / training.steps)
        chosen = torch.randint(len(pieces), (training.batch,), generator=generator)
        given, wanted = pieces[chosen, :-1], pieces[chosen, 1:].masked_fill(~counted[chosen], PADDED)
        hidden = torch.rand(given.shape, generator=generator) < FORGET
        loss = _loss(network, given.masked_fill(hidden & (given < vocabulary), vocabulary), wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if (number + 1) % every:
            continue
        step("steps of learning what comes next", number + 1, training.steps)
        if len(checked) == 0:
            continue
        with torch.no_grad():
            losses.append(
                float(_loss(network, checked[:512, :-1], checked[:512, 1:].masked_fill(~checked_counted[:512], PADDED)))
            )
        if losses[-1] == min(losses):
            best = {k: v.clone() for k, v in network.state_dict().items()}
        elif len(losses) - 1 - int(np.argmin(losses)) >= training.patience:
            break
    if losses:
        network.load_state_dict(best)
    return network.eval()


def _loss(network: NextEvent, given: Tensor, wanted: Tensor) -> Tensor:
    logits, _ = network(given)
    return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PADDED)


def _pieces(sequences: Sequence[Ints], vocabulary: int) -> tuple[Tensor, Tensor]:
    """Pieces (P, STRETCH + 1) that begin with the start or with what came before, and which of their targets count (P, STRETCH)."""
    rows, masks = [], []
    for sequence in sequences:
        whole = np.concatenate([[vocabulary + 1], np.where((sequence >= 0) & (sequence < vocabulary), sequence, vocabulary)])
        for begin in range(0, max(len(whole) - 1, 1), STRETCH - WARM):
            piece = whole[begin : begin + STRETCH + 1]
            row, mask = np.full(STRETCH + 1, vocabulary, np.int64), np.zeros(STRETCH, bool)
            row[: len(piece)] = piece
            mask[: len(piece) - 1] = True
            mask[: WARM if begin else 0] = False
            if mask.any():
                rows.append(row)
                masks.append(mask)
    if not rows:
        return torch.zeros(0, STRETCH + 1, dtype=torch.int64), torch.zeros(0, STRETCH, dtype=torch.bool)
    return torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(masks))


def next_surprises(
    network: NextEvent, sequences: Sequence[Ints], *, cells: int = 16_384, steps: int = 256
) -> list[NDArray[np.float64]]:
    """−log probability of every token of each sequence, in nats; long sequences are read piece by piece with their state kept.

    >>> [len(s) for s in next_surprises(NextEvent(5, width=8), [np.array([0, 1, 2]), np.array([4])])]
    [3, 1]
    """
    found: list[NDArray[np.float64]] = [np.empty(0)] * len(sequences)
    order = np.argsort([len(s) for s in sequences], kind="stable")
    rows = max(1, cells // steps)
    for begin in range(0, len(order), rows):
        step("sequences read", begin, len(order))
        chosen = order[begin : begin + rows]
        for index, values in zip(chosen, _read(network, [sequences[i] for i in chosen], steps), strict=True):
            found[index] = values
    return found


def _read(network: NextEvent, sequences: Sequence[Ints], steps: int) -> list[NDArray[np.float64]]:
    unknown = network.vocabulary
    longest = max(len(s) for s in sequences)
    tokens = np.full((len(sequences), longest + 1), unknown, np.int64)
    tokens[:, 0] = unknown + 1
    for row, sequence in zip(tokens, sequences, strict=True):
        row[1 : len(sequence) + 1] = np.where((sequence >= 0) & (sequence < unknown), sequence, unknown)
    whole, state = torch.from_numpy(tokens), None
    nats = np.empty((len(sequences), longest))
    with torch.inference_mode():
        for begin in range(0, longest, steps):
            end = min(begin + steps, longest)
            logits, state = network(whole[:, begin:end], state)
            wanted = whole[:, begin + 1 : end + 1]
            nats[:, begin:end] = nn.functional.cross_entropy(logits.transpose(1, 2), wanted, reduction="none").numpy()
    return [row[: len(sequence)] for row, sequence in zip(nats, sequences, strict=True)]
