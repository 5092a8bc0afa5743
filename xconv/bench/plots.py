"""The plots of the report, by plotly: the roofline with every case on it, and ratios with their intervals."""

from __future__ import annotations

import math
from typing import Any

from xconv.bench.comparisons import LayerComparison
from xconv.bench.reasons import ms
from xconv.bench.results import Run
from xconv.bench.text import of_catalogue

COLOURS = ("#2f7ed8", "#e8862e", "#3a9d5d", "#9b5fc0", "#c44e52", "#6b7a8f")
"""Legible on white and on black."""

GREY = "#8a8f98"


def roofline(run: Run) -> Any:
    """GFLOP/s over arithmetic intensity, both logarithmic, and the roof that this run measured.

    Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model" (CACM 52(4)).
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    kinds: dict[str, list[tuple[float, float, str]]] = {}
    for group in run.groups:
        for result in group.contenders:
            if not result.has_number:
                continue
            cost, contender = result.contender.cost(), result.contender
            kind = "everyone else" if contender.way else f"xconv on {contender.backend}"
            fraction, binds = run.limits.fraction(cost, result.seconds)
            of = f"<br>{100 * fraction:.0f} % of the limit ({binds})" if binds else ""
            said = f"{group.name}<br>{result.how}, {contender.direction}<br>{ms(result.seconds)}{of}"
            kinds.setdefault(kind, []).append((cost.intensity, cost.flops / result.seconds / 1e9, said))
    everything = [point for points in kinds.values() for point in points]
    if not everything:
        return None
    if run.limits.flops and run.limits.bytes:
        low, high = min(p[0] for p in everything) / 2, max(p[0] for p in everything) * 2
        ridge = run.limits.flops / run.limits.bytes
        xs = sorted({low, min(max(ridge, low), high), high})
        ys = [min(run.limits.flops, run.limits.bytes * x) / 1e9 for x in xs]
        figure.add_scatter(x=xs, y=ys, mode="lines", name="the machine's limit", line={"color": GREY, "width": 2})
    for name in sorted(kinds, key=lambda name: (name != "everyone else", name)):
        is_other = name == "everyone else"
        figure.add_scatter(
            x=[point[0] for point in kinds[name]],
            y=[point[1] for point in kinds[name]],
            text=[point[2] for point in kinds[name]],
            mode="markers",
            name=name,
            hoverinfo="text",
            marker={
                "color": GREY if is_other else COLOURS[sorted(k for k in kinds if k != "everyone else").index(name)],
                "size": 6 if is_other else 9,
                "opacity": 0.45 if is_other else 0.9,
            },
        )
    figure.update_xaxes(type="log", title="arithmetic intensity, FLOP per byte", dtick=1)
    figure.update_yaxes(type="log", title="GFLOP/s", dtick=1)
    return _styled(figure, 460)


def ratios(run: Run, backend: str, direction: str) -> Any:
    """How much faster xconv is than the framework's own op, and than the best of all peers, for each layer."""
    import plotly.graph_objects as go

    mine = sorted((c for c in of_catalogue(run) if c.key == (backend, direction)), key=_over_own)
    if not mine:
        return None
    figure = go.Figure()
    labels = [c.ours.contender.layer.name for c in mine]
    for name, colour, symbol, of in (
        ("over the framework's own op", COLOURS[0], "circle", [c.own for c in mine]),
        ("over the best of all", COLOURS[1], "diamond", [c.best for c in mine]),
    ):
        measured = [(label, ratio) for label, ratio in zip(labels, of, strict=True) if ratio is not None]
        if not measured:
            continue
        figure.add_scatter(
            x=[ratio.value for _, ratio in measured],
            y=[label for label, _ in measured],
            error_x={
                "type": "data",
                "array": [ratio.high - ratio.value for _, ratio in measured],
                "arrayminus": [ratio.value - ratio.low for _, ratio in measured],
                "thickness": 1.5,
                "width": 3,
            },
            text=[f"{label}: {ratio}<br>{ratio.against}" for label, ratio in measured],
            hoverinfo="text",
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 9},
        )
    figure.add_vline(x=1, line={"color": GREY, "width": 1.5})
    if math.isfinite(run.floor):
        figure.add_vrect(x0=math.exp(-run.floor), x1=math.exp(run.floor), fillcolor=GREY, opacity=0.18, line_width=0)
    figure.update_xaxes(
        type="log",
        title="times as fast (right of 1: xconv is faster)",
        tickvals=[0.25, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50],
        ticktext=["0.25", "0.5", "0.7", "1", "1.5", "2", "3", "5", "10", "20", "50"],
    )
    figure.update_yaxes(automargin=True, categoryorder="array", categoryarray=labels, tickfont={"size": 11})
    return _styled(figure, 150 + 22 * len(labels))


def _over_own(comparison: LayerComparison) -> float:
    ratio = comparison.own or comparison.best
    return ratio.value if ratio else 1.0


def _styled(figure: Any, height: int) -> Any:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    figure.update_xaxes(gridcolor="rgba(136,136,136,0.25)", zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor="rgba(136,136,136,0.25)", zeroline=False, automargin=True)
    return figure
