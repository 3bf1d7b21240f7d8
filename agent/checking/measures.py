"""What a number of a sentence may be: which facts the nouns after it count, and which facts the words before it make of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.checking.facts import Leaf

Keys = Callable[[Leaf], bool]


def keys(*names: str) -> Keys:
    """The facts under one of some keys."""
    return lambda leaf: leaf.key in names


_PEOPLE = (
    "people person persons man men woman women human humans pedestrian pedestrians worker workers child children visitor visitors"
)
COUNTED: dict[str, Keys] = {
    "finding": keys("findings_total"), "anomaly": keys("findings_total", "regions_count"), "stretch": keys("findings_total", "touching"),
    "moment": keys("findings_total"), "chain": keys("findings_total"), "problem": keys("findings_total"), "issue": keys("findings_total"),
    "event": keys("operations_each", "subjects_each", "log_events", "n_rows", "entity_events", "rows_searched", "findings_total",
                  "flagged_total"),
    "row": keys("rows", "n_rows", "row_count", "rows_found", "rows_searched", "abnormal_rows", "log_events", "in_findings",
                "subjects_each"),
    "connection": lambda leaf: leaf.key in ("rows_found", "subjects_each", "addresses_each"),
    "photo": keys("photos", "flagged_total", "ordinary", "normal_photos", "borderline"),
    "reference": keys("normal_photos", "normal_series", "normal_clips", "normal_logs"),
    "actor": keys("actors", "subjects", "subjects_count"),
    "subject": keys("subjects", "subjects_count"), "file": keys("sources_count"),
    "process": keys("entities_count", "actors", "subjects", "subjects_count"),
    "channel": lambda leaf: leaf.key in ("channels", "channel_names_count", "channels_count"), "place": keys("regions_count"),
    "region": keys("regions_count"), "box": keys("regions_count"), "frame": keys("frames", "looked_at", "with", "units"),
    "person": keys("most", "people", "persons"), "step": keys("did_count", "row_count", "entities_count"),
    "deviation": keys("deviations"), "spread": keys("deviations"), "operation": keys("operations", "operations_count"),
}  # fmt: skip
"""A noun in the singular, and the facts that count such things."""
_SINGULAR = {
    **dict.fromkeys(_PEOPLE.split(), "person"), "anomalies": "anomaly", "stretches": "stretch", "processes": "process",
    "boxes": "box", "sensor": "channel", "sensors": "channel", "picture": "photo", "pictures": "photo", "image": "photo", "images": "photo",
    "scan": "photo", "scans": "photo",
    "program": "process", "programs": "process", "tile": "photo", "tiles": "photo",
    "record": "row", "records": "row", "line": "row", "lines": "row", "entries": "row", "entry": "row",
    "normals": "reference", "examples": "reference", "references": "reference", "areas": "region", "area": "region", "places": "place",
}  # fmt: skip
NOUNS: dict[str, str] = {**{f"{word}s": word for word in COUNTED}, **{word: word for word in COUNTED}, **_SINGULAR}
ABNORMAL = re.compile(r"\b(?:abnormal|unusual|flagged|defective|odd|anomalous|suspicious|stands? out|faulty|fail\w*|bad)\b", re.I)
NORMAL = re.compile(r"\b(?:normal|ordinary|fine|ok|good|remaining|below)\b", re.I)
ROLES: tuple[tuple[re.Pattern[str], Keys], ...] = tuple(
    (re.compile(rf"(?:{words})", re.I), test) for words, test in (
        (r"threshold|limit|above|exceeds?|exceeded|exceeding|passes|below|under", lambda leaf: leaf.key == "threshold"),
        (r"against", keys("threshold", "score")),
        (r"scor\w+", lambda leaf: leaf.key in ("score", "max_score", "median_score", "entity_score", "scores")),
        (r"confiden\w+|sure|certain\w*", lambda leaf: leaf.key.startswith("confidence")),
        (r"severity|grade[sd]?|graded|rated|minor|serious|critical", keys("severity_score")),
        (r"share[sd]?|contribut\w+|carr(?:y|ies|ied)|belongs?|accounts?|blame|makes?",
         lambda leaf: leaf.key in ("shares_percent", "motion_percent", "appearance_percent")),
        (r"motion", keys("motion_percent")), (r"appearance", keys("appearance_percent")),
        (r"peak\w*|max|maxim\w+|top(?:s|ped)? out|highest|reach\w*|"
         r"hits?", lambda leaf: leaf.key in ("peak", "max", "highest") or leaf.key == "max_score"),
        (r"lowest|min|minimum|low|between|from", keys("min", "lowest", "before", "first")), (r"averages?|mean", keys("mean")),
        (r"usual\w*|normally|typical\w*|median", keys("usual", "median", "median_score")),
        (r"before|previously|initially", lambda leaf: leaf.key in ("before", "first")),
        (r"afterwards?|after|settle[sd]?", keys("after", "last")), (r"stuck|still|flat", keys("during", "after", "peak")),
        (r"first", lambda leaf: leaf.key == "first"), (r"last", lambda leaf: leaf.key == "last"), (r"most", keys("most")),
        (r"p-value", keys("p_value")), (r"rank\w*", keys("rank")),
    )
)  # fmt: skip
"""Words before a number and the facts it may then be; the nearest word counts."""
