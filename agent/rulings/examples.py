"""The example that a person points at by “that is normal here”: what is to be seen of a finding in a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from core.errors import UserError
from core.evidence import Anomaly
from readers.open import Source

if TYPE_CHECKING:
    from agent.examine.appearance import Appearance


def example_of(
    found: Anomaly, investigations: Sequence[Investigation], sources: Sequence[Source], store: EvidenceStore
) -> Appearance | None:
    """What is to be seen of a finding, turned and mirrored too while its photo is at hand; None where it is no finding in photos."""
    from agent.examine.appearance import appearance_of, read_looks
    from agent.examine.image import pixels_of

    for inv in investigations:
        number = next((n for n, f in enumerate(inv.findings) if f.evidence.id in found.evidence[:1]), None)
        if number is None or inv.arrays is None or inv.kind not in ("image", "points"):
            continue
        kept = read_looks(store.file(inv.arrays), [number])
        if number not in kept:
            return None
        seen, hot = kept[number]
        source = next((s for s in sources if s.name == inv.source), None)
        names = () if source is None else source.sample_names
        if source is None or found.loci[0].sample not in names:
            return seen
        try:
            return appearance_of(pixels_of(source.samples[names.index(found.loci[0].sample)]), hot, turned=True)  # type: ignore[arg-type]
        except (OSError, UserError):  # the photo is gone meanwhile
            return seen
    return None
