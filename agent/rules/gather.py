"""What rules are held against, from opened sources: photos are searched and videos followed only when a condition asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.rules.evaluate import Material, OddRegions
from agent.rules.measurable import FOUND
from core.errors import BadInput
from core.evidence import Region
from core.samples import VideoClip

if TYPE_CHECKING:
    from agent.evidence_store import EvidenceStore
    from agent.investigation import Investigation
    from agent.rules.measurable import Looker
    from readers.open import Source
    from tools.video.following import Following
    from tools.video.relation_words import Relation
    from tools.video.tracks import Zone


def gather(
    source: Source,
    *,
    store: EvidenceStore | None = None,
    normals: Sequence[Source] = (),
    zones: Sequence[Zone] = (),
    mm_per_px: float | None = None,
    looker: Looker | None = None,
) -> Material:
    """The material of one source; `store` keeps what detectors find in photos, without it no region is looked for.

    `zones` are those drawn in a video, `mm_per_px` the size of a pixel of the photos, `looker` is a model that sees, if there is one.
    """
    from tools.video.track_objects import labels_in_use

    def relations(clip: VideoClip) -> Sequence[Relation]:
        from tools.video.relations import clip_relations

        return clip_relations(clip, zones=zones)

    def followed(clip: VideoClip) -> Following:
        from tools.video.following import following
        from tools.video.track_finder import find_tracks

        return following(find_tracks(clip))

    def regions() -> OddRegions:
        if store is None:
            raise BadInput("no store was given to keep what detectors find")
        from agent.planner import choose
        from agent.toolbox import Toolbox

        call = choose(source, 0, normals)
        if call is None:
            raise BadInput(f"no detector judges {source.kind}")
        found, _ = Toolbox(store).run(call, source, normals)
        return odd_regions(found)

    return Material(
        source=source.name, kind=source.kind, samples=source.samples, zones=tuple(zone.name for zone in zones), mm_per_px=mm_per_px,
        labels=labels_in_use() if source.kind == "video" else FOUND,
        relations=relations if source.kind == "video" else None, followed=followed if source.kind == "video" else None,
        regions=regions if source.kind == "image" and store is not None else None, looker=looker,
    )  # fmt: skip


def odd_regions(found: Investigation) -> OddRegions:
    """The odd regions of the photos that an investigation flagged, strongest first; of ordinary photos only the size.

    Only the strongest region's exact area is kept with the evidence; of the others it is that of their box.
    """
    regions: dict[str, list[Region]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for finding in found.findings:
        locus, facts = finding.evidence.locus, finding.evidence.facts
        width, height = facts.get("width"), facts.get("height")
        if not isinstance(width, int) or not isinstance(height, int):
            continue
        sizes[locus.sample] = (height, width)
        regions[locus.sample] = []
        if not finding.abnormal or not isinstance(locus, Region):
            continue
        regions[locus.sample].append(locus)
        listed = facts.get("regions")
        for box in listed if isinstance(listed, list) else []:
            x0, y0, x1, y1 = (float(v) for v in box)
            if (x0, y0, x1, y1) != locus.box:
                share = round((x1 - x0) * (y1 - y0) / (width * height), 5)
                regions[locus.sample].append(Region(sample=locus.sample, box=(x0, y0, x1, y1), area_share=share))
    return OddRegions(regions=regions, sizes=sizes)
