"""The catalogue: one row per detector. Registry, planner, README table, docs, `telltale detectors` and the page read it here."""

from __future__ import annotations

from functools import cache

from core.detector import DetectorSpec
from core.registry import Catalogue

ROWS: tuple[DetectorSpec, ...] = (
    DetectorSpec(
        name="patch_search",
        class_path="tools.image.patch_search:PatchSearch",
        kind="image",
        needs_fit=True,
        transductive=False,
        cost="seconds",
        needs="embedded",
        use="Photos compared, patch by patch, with one to hundreds of photos of good parts.",
        avoid_when="no normal photo exists, or the scene changes freely from photo to photo",
        paper="Roth et al., Towards Total Recall in Industrial Anomaly Detection (CVPR 2022); Cohen & Hoshen 2020",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="text_decoder",
        class_path="tools.image.anomaly_decoder:TextMap",
        kind="image",
        needs_fit=True,
        transductive=False,
        cost="minutes",
        needs="embedded",
        use="Photos judged by the words for good and defective, learned on defects simulated in photos of good parts.",
        avoid_when="seconds count, or defects are unlike anything cut from a good part: patch_search needs no examples of defects",
        paper="after Gu et al., AnomalyGPT (AAAI 2024), its image decoder; cut-paste with Poisson blending after NSA (ECCV 2022)",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="mutual_search",
        class_path="tools.image.mutual_search:MutualSearch",
        kind="image",
        needs_fit=False,
        transductive=True,
        cost="seconds",
        needs="embedded",
        use="Several photos of one product, none known to be good: each is compared with the others.",
        avoid_when="there are fewer than three photos, or most of them share the same defect",
        paper="Li et al., MuSc: Zero-Shot Industrial Anomaly Classification and Segmentation (ICLR 2024), its mutual scoring",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="musc",
        class_path="tools.image.musc:MuSc",
        kind="image",
        needs_fit=False,
        transductive=True,
        cost="seconds",
        needs="embedded",
        use="Tens of photos of one product, none known to be good: each patch is looked up in every other photo.",
        avoid_when="there are fewer than three photos, or each photo shows another product or scene",
        paper="Li et al., MuSc (ICLR 2024); repeated defects after CoDeGraph (arXiv 2510.10456)",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="musc_v2",
        class_path="tools.image.musc_v2:MuScV2",
        kind="points",
        needs_fit=False,
        transductive=True,
        cost="seconds",
        needs="embedded",
        use="Several 3D scans of one product, none known to be good: shape and colour are looked up in every other scan.",
        avoid_when="there are fewer than three scans, the part lies differently in each of only a few, or each shows another product",
        paper="Li et al., MuSc-V2 (arXiv 2511.10047, 2025), on geometric and embedded features",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="intrinsic",
        class_path="tools.image.intrinsic:Intrinsic",
        kind="image",
        needs_fit=False,
        transductive=False,
        cost="seconds",
        needs="embedded",
        use="One photo and no reference: patches that the photo's own recurring patches cannot explain.",
        avoid_when="normal examples exist, or the picture has no repeating structure",
        paper="after Luo et al., INP-Former (CVPR 2025), its intrinsic-prototype coherence, without training",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="frame_novelty",
        class_path="tools.video.frame_novelty:FrameNovelty",
        kind="video",
        needs_fit=False,
        transductive=False,
        cost="seconds",
        needs="embedded",
        use="When and where a video looks or moves unlike normal clips, or unlike the rest of itself.",
        avoid_when="the camera moves all the time, or the abnormal thing fills most of the video",
        paper="patch k-NN (Roth et al. 2022) and flow statistics (Reiss & Hoshen 2022) on frames",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="window_pca",
        class_path="tools.series.window_pca:WindowPCA",
        kind="series",
        needs_fit=False,
        transductive=False,
        cost="seconds",
        needs="embedded",
        use="Sensor series: windows that the usual linear patterns cannot rebuild, with each channel's share.",
        avoid_when="the series is shorter than a few windows, or normal behaviour never repeats",
        paper="Jackson & Mudholkar 1979 (PCA residual); winner of TSB-AD (NeurIPS 2024) on multivariate series",
        licence="Apache-2.0 (own code)",
    ),
    DetectorSpec(
        name="rarity",
        class_path="tools.events.rarity:Rarity",
        kind="events",
        needs_fit=False,
        transductive=False,
        cost="seconds",
        needs="embedded",
        use="Event logs: rare combinations of who did what to what, and the chains of processes that carry them.",
        avoid_when="events are free text without who/what/whom, or every event is unique by nature",
        paper="Katz back-off (1987) on subject–operation–object; path view after Dong et al., GID (CIKM 2017)",
        licence="Apache-2.0 (own code)",
    ),
)


@cache
def catalogue() -> Catalogue:
    """The built-in rows and those of installed third-party packages."""
    found = Catalogue(ROWS)
    found.add_entry_points()
    return found
