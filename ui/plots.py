"""Interactive score curves (plotly) from curve panels: threshold, shaded events, raw channels below.

Long curves are thinned with their peaks kept (`agent.curves.thin`); colours are readable on light and dark pages. Time goes on a
date axis (a video's begins at midnight), so that ticks and hover say a clock time at every zoom; rows go on a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.curves import thin
from agent.reply import Panel

if TYPE_CHECKING:
    import plotly.graph_objects as go

LINE, EVENT, MUTED = "#14968a", "#e4572e", "#8a94a1"
CHANNELS = ("#5b7fbd", "#b07aa1", "#c69026", "#59a14f", "#9c755f", "#76b7b2")
MAX_CHANNELS = len(CHANNELS)
MAX_EVENTS = 60
"""More shaded events than this hide the curve; the highest stay."""


def curve_figure(panel: Panel) -> go.Figure:
    """Build the figure of one curve panel (`Panel.data` as described there).

    >>> data = {"seconds": [0, 1, 2], "scores": [0.1, 0.9, 0.2], "threshold": 0.5, "unit": "s",
    ...         "events": [{"start_s": 0.5, "end_s": 1.5, "evidence": "E1", "label": "jump"}]}
    >>> figure = curve_figure(Panel(kind="curve", caption="Score", source="a.mp4", data=data))
    >>> len(figure.data), figure.layout.annotations[-1].text, figure.layout.xaxis.type
    (1, 'E1', 'date')
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    data = panel.data or {}
    axis = _Axis(str(data.get("unit", "s")), data.get("epoch_s"), data.get("seconds", ()))
    channels = list(data.get("series") or ())[:MAX_CHANNELS]
    rows = 2 if channels else 1
    figure: go.Figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.45, 0.55] if channels else None
    )
    times, scores = thin(data.get("seconds", ()), data.get("scores", ()))
    figure.add_trace(_line(go, axis(times), scores, name="score", colour=LINE, width=1.8), row=1, col=1)
    for lane, (colour, channel) in enumerate(zip(CHANNELS, channels, strict=False)):
        name = f"{channel['name']} ({channel['unit']})" if channel.get("unit") else str(channel["name"])
        x, y = thin(data.get("seconds", ()), channel["values"])
        drawn = y if len(channels) == 1 else _in_lane(y, len(channels) - 1 - lane)
        line = _line(go, axis(x), y, drawn=drawn, name=name, colour=colour, width=1.2)
        figure.add_trace(line, row=2, col=1)
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    if data.get("threshold") is not None:
        level = float(data["threshold"])
        dashed = {"color": MUTED, "width": 1, "dash": "dash"}
        shapes.append(
            {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": level, "y1": level, "line": dashed}
        )
        notes.append(
            {"x": 1, "xref": "paper", "y": level, "yref": "y", "text": "threshold", "xanchor": "right", "font": {"color": MUTED}}
        )
    for event in _strongest(data):
        middle = (float(event["start_s"]) + float(event["end_s"])) / 2
        start, middle_x, end = axis(np.array([float(event["start_s"]), middle, float(event["end_s"])]))
        for scale in ("y", "y2")[:rows]:
            place = {"xref": "x", "x0": start, "x1": end, "yref": f"{scale} domain", "y0": 0, "y1": 1}
            shapes.append({"type": "rect", **place, "fillcolor": EVENT, "opacity": 0.18, "line": {"width": 0}, "layer": "below"})
        name, label = _plain(event.get("evidence") or ""), _plain(event.get("label") or "")
        notes.append({"x": middle_x, "y": 1, "yref": "y domain", "text": name, "hovertext": label, "font": {"color": EVENT}})
    for note in notes:
        note.update(showarrow=False, yanchor="bottom", font={"size": 11, **note["font"]})
    figure.update_layout(shapes=shapes, annotations=notes)
    # Zooming is along time only: heights stay comparable with the threshold.
    figure.update_xaxes(**axis.looks, showgrid=False, zeroline=False, linecolor=MUTED, automargin=True, tickangle=0)
    figure.update_yaxes(gridcolor="rgba(138,148,161,.22)", zeroline=False, nticks=4, automargin=True, fixedrange=True)
    if len(channels) > 1:
        figure.update_yaxes(
            showticklabels=False, showgrid=False, title={"text": "each on its own scale", "font": {"size": 11}}, row=2, col=1
        )
    figure.update_layout(
        template="none", height=(330 + 40 * min(len(channels), 4)) if channels else 240,
        margin={"l": 8, "r": 8, "t": 22, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": MUTED}, hovermode="x unified",
        showlegend=bool(channels), legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        dragmode="zoom",
        hoverlabel={"bgcolor": "#1f262f", "font": {"color": "#f1f4f7"}},
    )  # fmt: skip
    return figure


class _Axis:
    """How a panel's times become positions on plotly's axis, and how that axis looks."""

    def __init__(self, unit: str, epoch_s: float | None, seconds: Sequence[float]) -> None:
        self._rows = unit == "step"
        self._from_s = float(epoch_s or 0.0) if unit == "clock" else 0.0
        self.looks: dict[str, Any] = {"type": "date"}
        if self._rows:
            self.looks = {
                "type": "linear",
                "tickprefix": "row ",
                "showtickprefix": "first",
                "hoverformat": ",d",
                "tickformat": ",d",
            }
        elif unit == "clock":
            self.looks |= {"hoverformat": "%Y-%m-%d %H:%M:%S"}
        else:
            whole = "%-H:%M:%S" if len(seconds) and float(seconds[-1]) >= 3600 else "%-M:%S"
            tenths = {"dtickrange": [None, 999], "value": f"{whole}.%1f"}
            self.looks |= {"hoverformat": f"{whole}.%1f", "tickformat": whole, "tickformatstops": [tenths]}

    def __call__(self, seconds: NDArray[np.float64]) -> list[Any]:
        """Positions: numbers for rows, else ISO times in UTC."""
        if self._rows:
            return [float(value) for value in seconds]
        moments = np.round((seconds + self._from_s) * 1000).astype("datetime64[ms]")
        return [str(moment) for moment in np.datetime_as_string(moments, unit="ms")]


def _line(go: Any, times: Any, values: Any, *, name: str, colour: str, width: float, drawn: Any = None) -> Any:
    """One line; hovering says the true value, also where the line is `drawn` to another scale."""
    words = [f"{v:.4g}" for v in values]
    return go.Scatter(
        x=times, y=np.asarray(values if drawn is None else drawn, dtype=np.float32), mode="lines", name=_plain(name),
        line={"color": colour, "width": width}, customdata=words, hovertemplate="%{customdata}", connectgaps=False,
    )  # fmt: skip


def _in_lane(values: Any, lane: int) -> Any:
    """Scale a channel to a lane of its own, so that channels of different size can be compared by shape."""
    known = values[np.isfinite(values)]
    if len(known) == 0 or known.max() == known.min():
        return np.where(np.isfinite(values), lane + 0.45, np.nan)
    return lane + 0.9 * (values - known.min()) / (known.max() - known.min())


def _strongest(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    events = list(data.get("events") or ())
    if len(events) <= MAX_EVENTS:
        return events
    times, scores = np.asarray(data["seconds"], dtype=float), np.asarray(data["scores"], dtype=float)

    def peak(event: Mapping[str, Any]) -> float:
        inside = scores[(times >= float(event["start_s"])) & (times < float(event["end_s"]))]
        return float(np.nanmax(inside)) if np.isfinite(inside).any() else -np.inf

    return sorted(sorted(events, key=peak, reverse=True)[:MAX_EVENTS], key=lambda event: float(event["start_s"]))


def _plain(text: object) -> str:
    """Plotly reads a small HTML in names and labels (even links); file content must stay text."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
