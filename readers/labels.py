"""Columns that hold the answer: what somebody already marked as anomalous must not reach a detector.

A column is left out by its name; names that also have an honest meaning (a set-point called "target", an audit rule called "key")
are left out only when their values look like marks: 0 and 1, yes and no, normal and something else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_ALWAYS = re.compile(
    r"^(is_?)?(labels?|anomal(y|ies|ous)(_?(label|score|type|class|flag|window))?|outliers?|change_?points?|ground_?truth|y_?true|"
    r"attacks?(_?(type|cat|category|session|label|name|id))?|malicious|intrusion|alert_?label|fraud)$|"
    r"^(is_alert|harness|retimed|scenario|difficulty|test_label|train_label|label_\w+)$|_(label|labels|anomaly|ground_?truth)$"
)
_IF_BINARY = re.compile(r"^(key|class|target|fault|gt|normal|abnormal|is_normal|failure|event_label|rule|evil|sus)$")
_MARKS = frozenset({"0", "1", "-1", "true", "false", "yes", "no", "t", "f", "y", "n", "-", ""})
_WITH_ANOTHER = re.compile(r"^(category|split|subclass|rule)$")


def label_columns(head: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns of `head` that look like labels.

    >>> import polars as pl
    >>> label_columns(pl.DataFrame({"x": [1.0, 2.0], "is_anomaly": [0, 1], "target": [20.0, 21.0], "class": [0, 1]}))
    ('is_anomaly', 'class')
    """
    found: list[str] = []
    for column in head.columns:
        plain = re.sub(r"[\s\-.]+", "_", column.strip().lower())
        if _ALWAYS.search(plain) or (_IF_BINARY.match(plain) and _are_marks(head[column])):
            found.append(column)
    if found:
        found += [c for c in head.columns if c not in found and _WITH_ANOTHER.match(c.strip().lower())]
    return tuple(c for c in head.columns if c in found)


def _are_marks(column: pl.Series) -> bool:
    """Are the values 0/1, yes/no, or a word for normal and one other?"""
    import polars as pl

    values = column.drop_nulls().unique()
    if not 1 <= len(values) <= 2 or column.dtype in (pl.List, pl.Struct, pl.Array, pl.Object):
        return False
    words = {str(v).strip().lower().removesuffix(".0") for v in values}
    return words <= _MARKS or bool(words & {"normal", "benign", "anomaly", "anomalous", "abnormal", "attack", "malicious"})
