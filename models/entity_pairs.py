"""Entities of events as points in one space: an event is likely when its entities fit each other in pairs (APE).

Source: Chen, Tang, Sun, Chen & Zhang, Entity Embedding-based Anomaly Detection for Heterogeneous Categorical Events (IJCAI 2016): the
energy of an event is S(e) = Σ_{i<j} w_ij ⟨v_i, v_j⟩ with one weight w_ij ≥ 0 per pair of entity types, log P(e) = S(e) + c, learned by
noise-contrastive estimation against events of which one entity was replaced by a draw from its type's marginal (context-dependent
noise, whose noise term is log p_i of that entity) or all of them were (context-independent noise).
Ours: c is learned; a fifth of the noise is drawn evenly from all entities, so that rare and unknown ones learn what they do not fit;
entities are left out at random for an "unknown" one of their type, rare ones more often (after Kiperwasser & Goldberg, TACL 2016), so that
what was never seen is judged by how well something rare fits there; Adagrad instead of plain steps, since entities differ in frequency by
orders of magnitude. `contrast="ranking"` tells an event from its noise among all of them (Ma & Collins, EMNLP 2018): what they have in
common then cancels, and c with it.

Axes: events (N, M) are numbers of entities, type by type; M types, E entities of all types together, d dimensions; energies are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.progress import step

Noise: TypeAlias = Literal["one", "all"]
"""Which entities of an event are replaced: one (context-dependent) or all (context-independent)."""
Contrast: TypeAlias = Literal["binary", "ranking"]
EVENLY, UNKNOWN = 0.2, 0.2
"""Share of the noise that is drawn evenly from the entities of a type, and the share of that which goes to the unknown one."""
RARE = 0.25
"""An entity that occurred n times is left out with probability RARE / (RARE + n)."""
HELD_OUT_EVENTS = 20_000
SMALLEST_BATCH = 32
FEW_ENTITIES = 20_000
"""Up to so many, a step over all of them is quicker than finding out which ones it concerns."""
START = 0.3
"""Spread of the first coordinates, for a length of about one in ten dimensions."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained: `noise` events per event, `steps` of `batch` events at most, fewer when `patience` checks bring no gain."""

    size: int = 10
    noise: int = 10
    kind: Noise = "one"
    contrast: Contrast = "binary"
    weighted: bool = True
    steps: int = 1_000
    batch: int = 512
    rate: float = 0.1
    checks: int = 20
    patience: int = 5
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class EntityTypes:
    """How entities are numbered: type i owns the numbers `offset[i]` (its unknown one) to `offset[i + 1]`, and how often each occurs.

    `log_share` (E,) is the log of the share that noise draws from its type; `left_out` (E,) how often an entity is left out.
    """

    offset: NDArray[np.int64]
    left_out: NDArray[np.float64]
    log_share: NDArray[np.float64]

    @classmethod
    def counted(cls, events: NDArray[np.int64], sizes: NDArray[np.int64]) -> EntityTypes:
        """Count events (N, M) of entities numbered 1 to `sizes[i]` − 1 within type i; 0 stands for an unknown one.

        >>> types = EntityTypes.counted(np.array([[1, 1], [1, 2], [1, 1]]), np.array([2, 3]))
        >>> np.exp(types.log_share).round(3).tolist()
        [0.102, 0.898, 0.153, 0.554, 0.293]
        """
        offset = np.concatenate([[0], np.cumsum(sizes)])
        left_out, log_share = np.empty(offset[-1]), np.empty(offset[-1])
        for i, size in enumerate(sizes.tolist()):
            found = np.bincount(events[:, i], minlength=size).astype(np.float64)
            missing = RARE / (RARE + found)
            missing[0] = 0.0
            kept = found * (1.0 - missing)
            kept[0] += float((found * missing).sum())
            even = np.full(size, (1.0 - UNKNOWN) / max(size - 1, 1))
            even[0] = UNKNOWN if size > 1 else 1.0
            share = (1.0 - EVENLY) * kept / max(float(kept.sum()), 1e-12) + EVENLY * even
            left_out[offset[i] : offset[i + 1]] = missing
            log_share[offset[i] : offset[i + 1]] = np.log(share / share.sum())
        return cls(offset=offset, left_out=left_out, log_share=log_share)


class EntityPairs(nn.Module):
    """Coordinates (E, d) of entities, weights (M, M) of pairs of types, and the constant that makes energies log probabilities.

    >>> network = EntityPairs(5, 2, size=3)
    >>> network(torch.tensor([[0, 2], [1, 4]])).shape
    torch.Size([2])
    """

    def __init__(self, entities: int, types: int, *, size: int, weighted: bool = True, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.place = nn.Embedding(entities, size, sparse=entities > FEW_ENTITIES)
        with torch.no_grad():
            self.place.weight.copy_(START * torch.randn(entities, size, generator=generator))
        i, j = torch.triu_indices(types, types, 1)
        self.register_buffer("upper", torch.stack([i, j]))
        self.pair = nn.Parameter(torch.ones(len(i)), requires_grad=weighted)
        self.constant = nn.Parameter(torch.zeros(()))
        self.types = types

    def weights(self) -> Tensor:
        """The weights of pairs as a symmetric matrix (M, M) with zeros on its diagonal."""
        matrix = self.pair.new_zeros(self.types, self.types)
        i, j = self.upper[0], self.upper[1]  # type: ignore[index]
        return matrix.index_put((i, j), self.pair).index_put((j, i), self.pair)

    def forward(self, events: Tensor) -> Tensor:
        """Energies (…) of events (…, M)."""
        places: Tensor = self.place(events)
        return (self.weights() @ places * places).sum(dim=(-1, -2)) / 2

    def replaced(self, events: Tensor, at: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (B,) of events (B, M), and (B, k) of the same with the entity of type `at` (B,) replaced by `others` (B, k)."""
        places = self.place(events)
        weights = self.weights()
        energy = (weights @ places * places).sum(dim=(1, 2)) / 2
        context = (weights[at][:, None] @ places)[:, 0]
        rows = torch.arange(len(events))
        change = (self.place(others) - places[rows, at][:, None]) @ context[..., None]
        return energy, energy[:, None] + change[..., 0]


def binary_contrast(energy: Tensor, noise: Tensor, log_share: Tensor, noise_log_share: Tensor) -> Tensor:
    """The loss of noise-contrastive estimation (Gutmann & Hyvärinen 2010), the mean over events, in nats.

    Args:
        energy: log P of events (B,).
        noise: log P of their noise events (B, k).
        log_share: log of how likely the noise brings forth the event (B,), up to what both have in common.
        noise_log_share: the same of the noise events (B, k).

    >>> float(binary_contrast(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, 1)))  # undecided: twice log 2
    1.38629...
    """
    log_k = float(np.log(noise.shape[1]))
    data = nn.functional.logsigmoid(energy - log_k - log_share)
    made_up = nn.functional.logsigmoid(-(noise - log_k - noise_log_share)).sum(dim=1)
    return -(data + made_up).mean()


def ranking_contrast(energy: Tensor, noise: Tensor, log_share: Tensor, noise_log_share: Tensor) -> Tensor:
    """How surprising it is that the event, and none of its k noise events, is the real one; the mean over events, in nats.

    >>> float(ranking_contrast(torch.zeros(1), torch.zeros(1, 3), torch.zeros(1), torch.zeros(1, 3)))  # one of four: log 4
    1.38629...
    """
    logits = torch.cat([(energy - log_share)[:, None], noise - noise_log_share], dim=1)
    return -torch.log_softmax(logits, dim=1)[:, 0].mean()


CONTRASTS = {"binary": binary_contrast, "ranking": ranking_contrast}


class _Draws:
    """Random choices of training: what is left out, which type is replaced, and by what."""

    def __init__(self, types: EntityTypes, training: Training, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.offset = torch.from_numpy(types.offset)
        self.left_out = torch.from_numpy(types.left_out).float()
        self.log_share = torch.from_numpy(types.log_share).float()
        # one ascending line for all types: the shares of type i fill the stretch from i to i + 1
        line = [np.cumsum(np.exp(types.log_share[a:b])) for a, b in zip(types.offset[:-1], types.offset[1:], strict=True)]
        self.line = torch.from_numpy(np.concatenate([i + part / part[-1] for i, part in enumerate(line)]))
        self.training = training

    def lessened(self, events: Tensor) -> Tensor:
        """Events (B, M) with some entities left out for the unknown one of their type."""
        out = torch.rand(events.shape, generator=self.generator) < self.left_out[events]
        return torch.where(out, self.offset[:-1].expand_as(events), events)

    def entities(self, of_type: Tensor) -> Tensor:
        """Entities drawn from the marginals of types (any shape)."""
        spot = of_type + torch.rand(of_type.shape, generator=self.generator, dtype=torch.float64)
        found = torch.searchsorted(self.line, spot, right=True)
        return torch.minimum(torch.maximum(found, self.offset[of_type]), self.offset[of_type + 1] - 1)

    def loss(self, network: EntityPairs, events: Tensor) -> Tensor:
        """The loss on a batch (B, M) with fresh noise."""
        count, types = events.shape
        k = self.training.noise
        contrast = CONTRASTS[self.training.contrast]
        if self.training.kind == "all":
            others = self.entities(torch.arange(types).expand(count, k, types))
            noise = network(others)
            return contrast(
                network(events) + network.constant, noise + network.constant,
                self.log_share[events].sum(dim=1), self.log_share[others].sum(dim=2),
            )  # fmt: skip
        at = torch.randint(types, (count,), generator=self.generator)
        others = self.entities(at[:, None].expand(count, k))
        energy, noise = network.replaced(events, at, others)
        own = events[torch.arange(count), at]
        return contrast(energy + network.constant, noise + network.constant, self.log_share[own], self.log_share[others])


def train(
    events: NDArray[np.int64], held_out: NDArray[np.int64], types: EntityTypes, training: Training
) -> tuple[EntityPairs, list[float]]:
    """Learn from events (N, M) of numbers counted over all types; ends early when the loss on `held_out` (H, M) no longer falls.

    Returns the network of the best check, and the held-out loss at each (empty without held-out events).
    """
    network = EntityPairs(
        int(types.offset[-1]), events.shape[1], size=training.size, weighted=training.weighted, seed=training.seed
    )
    draws = _Draws(types, training, training.seed)
    learnt = [p for n, p in network.named_parameters() if p.requires_grad and (n != "constant" or training.contrast == "binary")]
    optimiser = torch.optim.Adagrad(learnt, lr=training.rate)
    data, checked = torch.from_numpy(events), torch.from_numpy(held_out[:HELD_OUT_EVENTS])
    best, losses = _kept(network), list[float]()
    every = max(1, training.steps // training.checks)
    size = min(training.batch, max(SMALLEST_BATCH, len(data) // 4))
    for number in range(training.steps):
        optimiser.param_groups[0]["lr"] = training.rate * (1.0 - number / training.steps)
        chosen = torch.randint(len(data), (size,), generator=draws.generator)
        loss = draws.loss(network, draws.lessened(data[chosen]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            network.pair.clamp_(min=0.0)
        if (number + 1) % every:
            continue
        step("steps of learning pairs", number + 1, training.steps)
        if len(checked) == 0:
            continue
        with torch.no_grad():
            losses.append(float(_Draws(types, training, training.seed + 1).loss(network, checked)))
        if losses[-1] == min(losses):
            best = _kept(network)
        elif len(losses) - 1 - int(np.argmin(losses)) >= training.patience:
            break
    if losses:
        network.load_state_dict(best)
    return network, losses


def _kept(network: EntityPairs) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def energies(
    events: NDArray[np.integer], places: NDArray[np.float32], weights: NDArray[np.float32], *, rows: int = 65_536
) -> NDArray[np.float32]:
    """Energies (N,) of events (N, M), in blocks, without gradients: `places` (E, d), `weights` (M, M).

    >>> places = np.array([[1.0, 0.0], [0.5, 2.0], [3.0, 1.0]], np.float32)
    >>> energies(np.array([[0, 1], [1, 2]]), places, np.array([[0, 2], [2, 0]], np.float32)).tolist()
    [1.0, 7.0]
    """
    made = np.empty(len(events), np.float32)
    for start in range(0, len(events), rows):
        found = places[events[start : start + rows]]
        made[start : start + rows] = np.einsum("nid,nid->n", weights @ found, found) / 2
    return made


def pair_energies(events: NDArray[np.integer], places: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pair's part of the energy (N, M·(M−1)/2), pairs in the order of `numpy.triu_indices(M, 1)`."""
    i, j = np.triu_indices(events.shape[1], 1)
    found = places[events]
    return np.asarray(np.einsum("npd,npd->np", found[:, i], found[:, j]) * weights[i, j], dtype=np.float32)
