"""The trained video systems on a CUDA device: how long a training step takes, how much is judged a second, and what bf16 costs.

Nothing is measured, and earlier results stay, where there is no such device. STATE with the published size (three layers of 32 channels,
128 cubes a step) and with ours, LaGoVAD with the published size (512 wide, 64 videos a step, of CLIP-sized features), on made-up cubes
and clips: what is in them does not change the work. Every format starts from the same weights and sees the same batches; the difference
rows say how far the losses of the last tenth of the steps, and what the trained networks then say, are from those in fp32. The steps of a
row are those after the first ten, which also load kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.rows import Row

if TYPE_CHECKING:
    import torch

    from models.lagovad import Judged
    from models.lagovad_training import Clip

FORMATS = ("fp32", "bf16")
STATE_SIZES = {"published size": (3, 32, 128), "our size": (1, 8, 32)}
"""Layers, width, cubes a step."""
CUBES, STATE_STEPS = 4096, 200
VIDEOS, LAGOVAD_STEPS = 64, 200
LENGTH, WIDTH, KINDS = 512, 512, 13
AT_ONCE = {"cubes": (64, 1024), "videos": (1, 64)}
FIRST, REPEATS = 10, 20


@dataclass(frozen=True)
class Trained:
    """Losses of a training, seconds per step, the device's peak memory, and what the network then says of the same input."""

    losses: list[float]
    step_s: float
    peak_mb: float
    said: torch.Tensor


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` trains for few steps."""
    import torch

    if not torch.cuda.is_available():
        print("video_gpu: no CUDA device here, nothing is measured")
        return
    share = 5 if quick else 1
    for name, (layers, width, batch) in STATE_SIZES.items():
        found = {}
        for number in FORMATS:
            found[number] = yield from _state(number, name, layers, width, batch, STATE_STEPS // share)
        yield _apart("made-up cubes", f"state, {name}", found)
    yield from _perturbed()
    found = {}
    for number in FORMATS:
        found[number] = yield from _lagovad(number, LAGOVAD_STEPS // share)
    yield _apart("made-up videos", "lagovad, published size", found)


def _cubes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth moving pictures (count, 7, 32, 32, 3) uint8 and flow (count, 7, 32, 32, 2) float16."""
    import torch
    from torch.nn.functional import interpolate

    generator = torch.Generator().manual_seed(0)
    looks = interpolate(torch.rand((count, 3, 6, 6), generator=generator), size=(40, 40), mode="bilinear")
    flow = interpolate(torch.randn((count, 2, 4, 4), generator=generator), size=(32, 32), mode="bilinear")
    rgb = torch.stack([looks[:, :, t : t + 32, t : t + 32] for t in range(7)], dim=1)
    return (rgb * 255).byte().permute(0, 1, 3, 4, 2), flow[:, None].expand(-1, 7, -1, -1, -1).permute(0, 1, 3, 4, 2).half()


def _state(number: str, size: str, layers: int, width: int, batch: int, steps: int) -> Generator[Row, None, Trained]:
    import torch

    from models.state_network import StateNetwork, Training, errors, tensors, train

    rgb, flow = _cubes(CUBES)
    network = StateNetwork(layers=layers, width=width)
    how = Training(steps=steps, batch=batch)
    marks = _Marks()
    torch.cuda.reset_peak_memory_stats()
    with marks:
        losses = train(network, rgb, flow, how, device=f"cuda/{number}")
    peak = torch.cuda.max_memory_allocated() / 2**20
    yield Row(
        data="made-up cubes", method=f"state, {size}, training, {number}",
        metrics={"ms_per_step_lower": 1000 * marks.step_s, "cubes_per_s": batch / marks.step_s},
        seconds=marks.total, peak_mb=peak, seeds=(0,), note=f"{layers} layers of {width}, {batch} cubes a step; peak is the device's",
    )  # fmt: skip
    said = torch.zeros(0)
    for count in AT_ONCE["cubes"]:
        x, f = tensors(rgb[:count].cuda(), flow[:count].cuda())

        def judge(x: torch.Tensor = x, f: torch.Tensor = f) -> torch.Tensor:
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=number == "bf16"):
                return torch.stack(errors(network, x, f))

        spent = _median(judge)
        said = judge().float().cpu()
        yield Row(
            data="made-up cubes", method=f"state, {size}, {count} judged at once, {number}",
            metrics={"cubes_per_s": count / spent}, seconds=spent * REPEATS, peak_mb=peak, seeds=(0,), note="cubes on the device",
        )  # fmt: skip
    return Trained(losses, marks.step_s, peak, said)


def _perturbed() -> Iterator[Row]:
    """The published judging, which first moves its input against the gradient; fp32, as bf16 rounds the step away."""
    import torch

    from models.state_network import StateNetwork, errors, tensors

    layers, width, _ = STATE_SIZES["published size"]
    network = StateNetwork(layers=layers, width=width).cuda().eval()
    count = AT_ONCE["cubes"][0]
    x, f = tensors(*(part.cuda() for part in _cubes(count)))
    spent = _median(lambda: torch.stack(errors(network, x, f, perturbation=0.002)))
    yield Row(
        data="made-up cubes", method=f"state, published size, {count} judged at once with perturbation, fp32",
        metrics={"cubes_per_s": count / spent}, seconds=spent * REPEATS, peak_mb=0.0, seeds=(0,), note="cubes on the device",
    )  # fmt: skip


def _clips() -> tuple[list[Clip], np.ndarray]:
    """Clips of 40 to 120 units with a direction of their own kind in the abnormal ones, described, and definitions of the kinds."""
    from models.lagovad_training import Clip

    rng = np.random.default_rng(0)
    definitions = rng.normal(size=(KINDS, WIDTH)).astype(np.float32)
    definitions /= np.linalg.norm(definitions, axis=1, keepdims=True)
    made = []
    for one in range(256):
        kind = one // 2 % (KINDS - 1) + 1 if one % 2 else 0
        units = rng.normal(size=(int(rng.integers(40, 121)), WIDTH)).astype(np.float32) / WIDTH**0.5
        made.append(
            Clip(units=units + (definitions[kind] if kind else 0), kind=kind, description=definitions[kind] if kind else None)
        )
    return made, definitions


def _lagovad(number: str, steps: int) -> Generator[Row, None, Trained]:
    import torch

    from models.lagovad import LaGoVadNetwork
    from models.lagovad_training import Training, train

    clips, definitions = _clips()
    network = LaGoVadNetwork(WIDTH, WIDTH, width=WIDTH).cuda()
    marks = _Marks()
    torch.cuda.reset_peak_memory_stats()
    with marks:
        losses = train(network, clips, definitions, Training(steps=steps, batch=VIDEOS, short=number == "bf16"))
    peak = torch.cuda.max_memory_allocated() / 2**20
    yield Row(
        data="made-up videos", method=f"lagovad, published size, training, {number}",
        metrics={"ms_per_step_lower": 1000 * marks.step_s, "videos_per_s": VIDEOS / marks.step_s}, seconds=marks.total, peak_mb=peak,
        seeds=(0,), note=f"{VIDEOS} videos of up to {LENGTH} units a step, all passes; peak is the device's",
    )  # fmt: skip
    words = torch.from_numpy(definitions).cuda()
    units = torch.from_numpy(np.stack([np.resize(clip.units, (LENGTH, WIDTH)) for clip in clips[: AT_ONCE["videos"][-1]]])).cuda()
    said = torch.zeros(0)
    for count in AT_ONCE["videos"]:
        some, given = units[:count], torch.ones((count, LENGTH), dtype=torch.bool, device="cuda")

        def judge(some: torch.Tensor = some, given: torch.Tensor = given) -> torch.Tensor:
            with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16, enabled=number == "bf16"):
                judged: Judged = network(some, given, words, names=True)
            return judged.logits

        spent = _median(judge)
        said = torch.sigmoid(judge().float()).cpu()
        yield Row(
            data="made-up videos", method=f"lagovad, published size, {count} judged at once, {number}",
            metrics={"units_per_s": count * LENGTH / spent}, seconds=spent * REPEATS, peak_mb=peak, seeds=(0,),
            note=f"{LENGTH} units each, features on the device",
        )  # fmt: skip
    return Trained(losses, marks.step_s, peak, said)


def _apart(data: str, method: str, found: dict[str, Trained]) -> Row:
    """How far bf16 is from fp32, and how much quicker."""
    exact, short = (found[number] for number in FORMATS)
    last = max(1, len(exact.losses) // 10)
    losses = [float(np.mean(one.losses[-last:])) for one in (exact, short)]
    order = np.corrcoef(exact.said.flatten().numpy(), short.said.flatten().numpy())[0, 1]
    return Row(
        data=data, method=f"{method}, bf16 against fp32",
        metrics={
            "steps_times_as_fast": exact.step_s / short.step_s, "loss_apart_lower": abs(losses[1] - losses[0]) / abs(losses[0]),
            "said_correlation": float(order),
        },
        seconds=0, peak_mb=0,
        note=f"loss {exact.losses[0]:.4g} at first, {losses[0]:.4g} and {losses[1]:.4g} after {len(short.losses)} steps",
    )  # fmt: skip


class _Marks:
    """Seconds per step of a training, told by its own progress."""

    def __enter__(self) -> _Marks:
        from core.progress import watching

        self.times: list[float] = []
        self.start = time.perf_counter()
        self._watching = watching(lambda *_: self.times.append(time.perf_counter()))
        self._watching.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        import torch

        self._watching.__exit__(None, None, None)
        torch.cuda.synchronize()
        end = time.perf_counter()
        self.total = end - self.start
        self.step_s = (end - self.times[FIRST - 1]) / (len(self.times) - FIRST)


def _median(call: Callable[[], object]) -> float:
    """Seconds of a call on the device, the median of REPEATS after three that are not counted."""
    import torch

    times = []
    for _ in range(REPEATS + 3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[3:]))
