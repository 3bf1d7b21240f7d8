"""Photos and 3D scans: which are odd, and where in them.

Threshold from normal ones when given, else from the batch, or from the photo itself. A scan is shown by its own colours, or without any by
its depth in grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.examine.appearance import Appearance, appearance_of, hot_part, kept_looks
from agent.examine.looks import looks_of
from agent.examine.setting import Run
from agent.investigation import Finding, Investigation
from agent.reply import Panel
from agent.severity import confidence, grade_region
from core import draw
from core.calibrate import Calibration, from_majority, from_reference, from_self
from core.errors import BadInput
from core.evidence import Evidence, Region, Whole
from core.samples import ImageSample, PointSample
from core.scores import ImageScore

CHUNK = 16
"""Photos scored at a time by detectors that judge each photo alone, so that memory does not grow with their number."""
FALSE_POSITIVE_RATE = 0.01
PATCH_DEVIATIONS = 8.0
GOOD_SPREAD = 0.045
"""Standard deviation of the scores of good photos in one batch, measured with `musc` on twenty good bottles (0.048) and hazelnuts (0.042);
patch distances of unit features have the same scale (0 to 2) for every product. Of good scans of a cable gland, in batches of 4 to 13, it
lets one of 149 be flagged."""
SHOWN = 24
"""At most this many photos get a picture and a line of evidence of their own."""
NAMED = 8
"""At most this many abnormal photos are named in a sentence; the rest are counted."""
VOTERS = 3
"""Fewer photos than this, without a normal one, have only their own pattern to be compared with."""


def examine(run: Run, store: EvidenceStore) -> Investigation:
    """Score the photos of `run.source`, decide which are abnormal, and picture the worst."""
    photos: Sequence[ImageSample | PointSample] = run.source.samples  # type: ignore[assignment]
    if any(isinstance(photo, PointSample) and photo.xyz.shape[0] == 1 for photo in photos):
        raise BadInput(
            f"{run.source.name!r}: a loose cloud of points has no picture to show it in; `telltale detect {run.name}` gives its "
            "points' scores."
        )
    calibration = _from_normals(run)
    scored = list(_scores(run, photos))
    values = np.array([score.score for score, _ in scored], dtype=np.float32)
    if calibration is None:
        calibration = _self_calibration(run, values, scored)
    p_values = calibration.p_value(values)
    order = np.argsort(-values, kind="stable")
    flagged = values > calibration.threshold
    doubtful = ~flagged & (values > (calibration.threshold if calibration.borderline is None else calibration.borderline))
    findings: list[Finding] = []
    panels: list[Panel] = []
    looks: dict[int, tuple[Appearance, NDArray[np.bool_]]] = {}
    limit = float(max(values.max(), calibration.threshold))
    for rank, i in enumerate(order[:SHOWN], start=1):
        score, regions = scored[i]
        photo = photos[int(i)]
        picture = store.put_file(draw.png_bytes(_picture(photo, score, regions, bool(flagged[i]), calibration, limit)), ".png")
        finding = _finding(run, photo, score, regions, calibration, float(p_values[i]), picture,
                           rank=rank, number=int(i) + 1, count=len(values), abnormal=bool(flagged[i]),
                           doubtful=bool(doubtful[i]))  # fmt: skip
        if finding.abnormal or len(values) <= SHOWN:
            caption = f"{photo.name}: {finding.label or ('borderline' if doubtful[i] else 'no region stands out')}"
            panels.append(
                Panel(kind="heatmap", caption=caption, source=run.source.name, evidence=f"finding:{len(findings)}", path=picture)
            )
        if finding.abnormal and regions:
            hot = hot_part(score, calibration.threshold)
            looks[len(findings)] = appearance_of(pixels_of(photo), hot), hot
        findings.append(finding)
    n_flagged, n_doubtful = int(flagged.sum()), int(doubtful.sum())
    undecided = _undecided(run, len(values)) and not n_flagged
    survey = run.evidence(
        Whole(sample=run.source.name),
        score=float(values.max()), threshold=calibration,
        facts={
            "photos": len(values), "flagged": n_flagged, "ordinary": len(values) - n_flagged - n_doubtful,
            "median_score": float(np.median(values)),
            "flagged_names": [photos[int(i)].name for i in order[:n_flagged][:SHOWN]],
            "borderline": n_doubtful, "borderline_others": max(0, n_doubtful - NAMED),
            "borderline_names": [photos[int(i)].name for i in order[n_flagged:][:n_doubtful][:NAMED]],
            "normal_photos": run.n_normal, "calibrated": calibration.calibrated, "flagged_percent": 100 * n_flagged / len(values),
            "others": max(0, n_flagged - NAMED), **({"undecided": True} if undecided else {}), **_noun(run),
        },
    )  # fmt: skip
    return Investigation(
        tool=run.name, source=run.source.name, kind="image", reason=run.reason,
        status="abnormal" if n_flagged else "insufficient" if undecided else "normal",
        survey=survey, findings=tuple(findings), panels=tuple(panels),
        arrays=store.put_file(kept_looks(looks), ".npz") if looks else None,
    )  # fmt: skip


def _from_normals(run: Run) -> Calibration | None:
    """Calibration on the held-out scores of the normal photos, when there are any."""
    if not run.n_normal:
        return None
    reference = run.detector.reference_scores()
    return from_reference(reference, false_positive_rate=FALSE_POSITIVE_RATE) if len(reference) >= 2 else None


def _undecided(run: Run, count: int) -> bool:
    """True when a photo below the threshold may still be a bad part: nothing but its own pattern speaks for it.

    A broken bottle, or a part of the wrong kind, is whole in itself; only breaks of a pattern that repeats in the photo stand out.
    """
    return not run.n_normal and count < VOTERS


def _self_calibration(run: Run, values: NDArray[np.float32], scored: Sequence[tuple[ImageScore, Any]]) -> Calibration:
    """Without normals: the batch's own bulk; for one or two photos the bulk of their own patches."""
    if len(values) >= VOTERS:
        return from_majority(values, usual_spread=GOOD_SPREAD)
    patches = np.concatenate([score.heatmap[::4, ::4].ravel() for score, _ in scored])
    return from_self(patches, deviations=PATCH_DEVIATIONS)


def _scores(run: Run, photos: Sequence[ImageSample | PointSample]) -> Iterator[tuple[ImageScore, list[tuple[Region, float]]]]:
    """Each photo's score and strongest regions; heatmaps of ordinary photos are shrunk at once to keep memory flat."""
    step = len(photos) if run.spec.transductive else CHUNK
    for start in range(0, len(photos), step):
        batch = [photos[i] for i in range(start, min(start + step, len(photos)))]
        for score in run.detector.score(batch):
            assert isinstance(score, ImageScore)
            yield score, regions_of(score)


def regions_of(score: ImageScore, *, most: int = 3) -> list[tuple[Region, float]]:
    """The strongest connected regions of a heatmap, each above half its peak's height over the median, strongest first."""
    from scipy import ndimage

    heat = score.heatmap
    labels, _ = ndimage.label(hot_part(score))
    found = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == label
        area = float(inside.sum()) / heat.size
        rows, columns = box
        region = Region(
            sample=score.sample,
            box=(float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)),
            area_share=round(area, 5),
        )
        found.append((region, float(heat[box][inside].max())))
    return sorted(found, key=lambda pair: -pair[1])[:most]


def deviating_area(score: ImageScore, threshold: float) -> float:
    """Share (0–1) of a photo that deviates: above half its peak's height over the median and, if the peak is, above the threshold.

    Half the peak alone is wide where the peak is weak: of defects drawn into normal photos of three kinds, this area follows the
    true one better (rank correlation .90–.92 against .35–.91).

    >>> heat = np.array([[0.0, 0.0, 0.0, 0.6, 1.0]], np.float32)
    >>> [deviating_area(ImageScore(sample="a", score=1.0, heatmap=heat), threshold) for threshold in (0.2, 0.9, 7.0)]
    [0.4, 0.2, 0.4]
    """
    heat = score.heatmap
    base, peak = float(np.median(heat)), float(heat.max())
    if peak <= base:
        return 0.0
    half = base + 0.5 * (peak - base)
    return float((heat >= (max(half, threshold) if threshold <= peak else half)).mean())


def _noun(run: Run) -> dict[str, str]:
    """What is told of, where it is no photo."""
    return {"noun": "scan"} if run.source.kind == "points" else {}


def pixels_of(sample: ImageSample | PointSample) -> NDArray[np.uint8]:
    """What a sample looks like (H, W, 3): a scan without colours by its depth, near is bright and what was not measured black.

    >>> xyz = np.zeros((1, 3, 3), np.float32); xyz[0, :, 2] = (1, 2, 3)
    >>> pixels_of(PointSample(name="a", xyz=xyz, valid=np.array([[True, True, False]])))[0, :, 0].tolist()
    [255, 40, 0]
    """
    if isinstance(sample, ImageSample):
        return sample.pixels
    if sample.rgb is not None:
        return sample.rgb
    depth = sample.xyz[..., 2]
    near, far = np.quantile(depth[sample.valid], (0.01, 0.99)) if sample.valid.any() else (0.0, 1.0)
    grey = 255 - 215 * ((depth - near) / max(float(far - near), 1e-9)).clip(0, 1)
    return np.repeat(np.where(sample.valid, grey, 0).round().astype(np.uint8)[..., None], 3, axis=2)


def _picture(
    photo: ImageSample | PointSample,
    score: ImageScore,
    regions: list[tuple[Region, float]],
    flagged: bool,
    calibration: Calibration,
    top: float,
) -> NDArray[np.uint8]:
    """The photo with its heatmap; boxes only where it was flagged."""
    low = float(np.median(score.heatmap))
    return draw.overlay(
        pixels_of(photo), score.heatmap, low=low, high=max(top, float(score.heatmap.max()) if flagged else top),
        boxes=[region.box for region, _ in regions] if flagged else [],
    )  # fmt: skip


def _finding(run: Run, photo: ImageSample | PointSample, score: ImageScore, regions: list[tuple[Region, float]], calibration: Calibration,
             p_value: float, picture: str, *, rank: int, number: int, count: int, abnormal: bool,
             doubtful: bool) -> Finding:  # fmt: skip
    pixels = pixels_of(photo)
    height, width = pixels.shape[:2]
    region = regions[0][0] if regions else Region(sample=photo.name, box=(0.0, 0.0, float(width), float(height)), area_share=1.0)
    ratio = calibration.ratio(score.score)
    area = deviating_area(score, calibration.threshold)
    place = place_in_words(region, height, width)
    whole = abnormal and score.parts.get("whole", 0.0) > score.parts.get("place", 0.0)
    evidence: Evidence = run.evidence(
        region, score=score.score, threshold=calibration, p_value=p_value, picture=picture,
        facts={
            "photo": number, "photos": count, "rank": rank, "times_threshold": round(ratio, 3), "place": place,
            "area_percent": round(100 * area, 2), "width": width, "height": height, "flagged": abnormal,
            "regions": [[*r.box] for r, _ in regions],
            **({"looks": looks} if abnormal and regions and (looks := looks_of(pixels, score.heatmap, region)) else {}),
            **({"whole": True} if whole else {}),
            **({"undecided": True} if not abnormal and _undecided(run, count) else {}), **({"borderline": True} if doubtful else {}),
            **_noun(run),
        },
    )  # fmt: skip
    if not abnormal:
        return Finding(evidence=evidence)
    sure = confidence(p_value=p_value, ratio=ratio, calibrated=calibration.calibrated)
    severity = grade_region(ratio=ratio, area=area, sure=sure)
    return Finding.stated(
        evidence, f"unusual as a whole, most so {place}" if whole else f"unusual region, {place}", severity, sure
    )


def place_in_words(region: Region, height: int, width: int) -> str:
    """Where a box lies in a picture, as a person would say it.

    >>> place_in_words(Region(sample="a", box=(0, 0, 10, 10), area_share=0.01), 100, 100)
    'upper left'
    >>> place_in_words(Region(sample="a", box=(40, 45, 60, 55), area_share=0.02), 100, 100)
    'centre'
    """
    x0, y0, x1, y1 = region.box
    if (x1 - x0) > 0.75 * width and (y1 - y0) > 0.75 * height:
        return "across the picture"
    across = ("left", "", "right")[min(2, int(3 * ((x0 + x1) / 2) / width))]
    down = ("upper", "", "lower")[min(2, int(3 * ((y0 + y1) / 2) / height))]
    if across and down:
        return f"{down} {across}"
    return {"upper": "top middle", "lower": "bottom middle"}.get(down, "") or (f"middle {across}" if across else "centre")
