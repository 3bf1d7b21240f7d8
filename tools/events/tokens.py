"""Event attributes as tokens at three levels: what exactly, what class of thing, what type of thing.

The exact token is generalised just enough that the same act on another machine gives the same token: user folders, GUIDs,
SIDs, long numbers and random hexadecimal names become placeholders. The class of a path is its folder and extension, the
type its top folder and extension; the class of an address is its network and port. Levels feed the back-off of
`tools.events.counts` (Katz 1987). All text rules run on distinct strings only, inside polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

LEVELS = ("exact", "class", "type")

_MAX_CHARS = 512
"""Longer values (command lines, log text) are cut: rarity needs the head, and memory must stay bounded."""

_REWRITES: tuple[tuple[str, str], ...] = (
    (r'^["\s]+|["\s]+$', ""),
    (r"^\\\\?[?.]{1,2}\\", ""),  # \??\C:\… and \\?\C:\…
    (r"\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?", "<guid>"),
    (r"s-1-5-21(?:-\d+)+", "<sid>"),
    (r"([\\/](?:users|home|documents and settings)[\\/])[^\\/]+", "${1}<user>"),
    (r"0x[0-9a-f]{7,}", "<hex>"),
    (r"([^0-9a-z]|^)[0-9a-f]{8,}([^0-9a-z]|$)", "${1}<hex>${2}"),
    (r"\d+(?:\.\d+){2,}", "<version>"),
    (r"\d{4,}", "<n>"),
)
_ADDRESS = r"^\[?(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f]{0,4}(?:%\w+)?)\]?(?::\d+)?(?:<-)?$"
_PRIVATE = r"^\[?(?:10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|22[4-9]\.|23\d\.|255\.|fe80:|f[cd]|::1|ff0)"


def token_table(values: pl.Series) -> pl.DataFrame:
    r"""Return one row per distinct value: `value` and its tokens `exact`, `class`, `type` (all strings).

    >>> import polars as pl
    >>> table = token_table(pl.Series([r"C:\Users\ann\Downloads\run.exe", "10.0.5.13:8080"])).sort("value")
    >>> table["exact"].to_list()
    ['10.0.5.13:8080', 'c:\\users\\<user>\\downloads\\run.exe']
    >>> table["class"].to_list()
    ['private address :8080', 'c:\\users\\<user>\\downloads\\*.exe']
    """
    import polars as pl

    table = pl.DataFrame({"value": values.cast(pl.String).fill_null("").unique()})
    low = pl.col("value").str.slice(0, _MAX_CHARS).str.to_lowercase()
    general = low
    for pattern, replacement in _REWRITES:
        general = general.str.replace_all(pattern, replacement)
    table = table.with_columns(low.alias("low"), general.alias("general"))
    address = pl.col("low").str.contains(_ADDRESS)
    network = pl.when(pl.col("low").str.contains(_PRIVATE)).then(pl.lit("private address")).otherwise(pl.lit("public address"))
    port = pl.col("low").str.extract(r":(\d+)(?:<-)?$", 1).cast(pl.Int64, strict=False)
    port_text = pl.when(port >= 49152).then(pl.lit(" :high")).when(port.is_null()).then(pl.lit("")).otherwise(
        pl.format(" :{}", port)
    )  # fmt: skip
    path = pl.col("general").str.contains(r"[\\/]")
    extension = pl.col("general").str.extract(r"(\.[a-z0-9]{1,8})$", 1).fill_null("")
    folder = pl.col("general").str.extract(r"(?s)^(.*[\\/])[^\\/]*$", 1).fill_null("")
    top = pl.col("general").str.extract(r"^([\\/]*[^\\/]+(?:[\\/]+[^\\/]+)?)[\\/]", 1).fill_null("")
    words = pl.col("general").str.replace_all(r"<\w+>|[0-9]+", "#")
    head = words.str.extract(r"^([^\s.:;,=_\-]+)", 1).fill_null("")
    return table.select(
        "value",
        pl.when(address).then(pl.col("low")).otherwise(pl.col("general")).alias("exact"),
        pl.when(address).then(pl.concat_str(network, port_text))
        .when(path).then(pl.concat_str(folder, pl.lit("*"), extension)).otherwise(head).alias("class"),
        pl.when(address).then(network)
        .when(path).then(pl.concat_str(top, pl.lit(" *"), extension)).otherwise(pl.lit("text")).alias("type"),
    )  # fmt: skip


def with_tokens(frame: pl.DataFrame, column: str, prefix: str) -> pl.DataFrame:
    """Add `{prefix}0`, `{prefix}1`, `{prefix}2`: the three tokens of `column`, in the frame's row order."""
    import polars as pl

    table = token_table(frame[column]).rename({"exact": f"{prefix}0", "class": f"{prefix}1", "type": f"{prefix}2"})
    return frame.with_columns(pl.col(column).cast(pl.String).fill_null("")).join(
        table, left_on=column, right_on="value", how="left", maintain_order="left"
    )
