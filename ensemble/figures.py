"""Figures of a search and of its best predictions, for plotly. Names in them are escaped, as plotly reads HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.colors import sample_colorscale

from axes import Axis
from mistakes import Calibration, ClassScores

# Okabe & Ito 2008, https://jfly.uni-koeln.de/color/: told apart by colour-blind eyes too; their yellow is too pale here
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
BLUE, ORANGE = PALETTE[:2]
GREY, DARK, PALE = "#bdbdbd", "#333333", "#e6e6e6"
FEW_ENOUGH = 30  # classes of which each can have its name and its counts


def escape(text: str) -> str:
    return html.escape(text, quote=False)


def plot(figure: go.Figure) -> Markup:
    """The figure as a part of a page that holds plotly.js."""
    options = {"displayModeBar": False, "responsive": True}
    return Markup(plotly.io.to_html(figure, config=options, include_plotlyjs=False, full_html=False))


def frame(height: int, **layout: Any) -> go.Figure:
    """An empty figure as wide as its place. A finger on it scrolls the page, as nothing can be dragged or zoomed."""
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        font={"family": "system-ui, sans-serif", "size": 12, "color": DARK},
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        hoverlabel={"align": "left", "font": {"size": 12}},
    )
    figure.update_xaxes(fixedrange=True, automargin=True, zeroline=False)
    figure.update_yaxes(fixedrange=True, automargin=True, zeroline=False)
    return figure.update_layout(**layout)


def draw_curves(curves: Sequence[Sequence[tuple[int, float]]], names: Sequence[str], metric: str) -> go.Figure:
    """Points (epoch, metric) of each trial, best first: the first ones coloured, others grey."""
    figure = frame(320)
    for number, (points, name) in reversed(list(enumerate(zip(curves, names, strict=True)))):
        best = number < len(PALETTE)
        epochs, values = zip(*points, strict=True) if points else ((), ())
        figure.add_scatter(
            x=epochs,
            y=values,
            mode="lines+markers",
            name=escape(name),
            line={"color": PALETTE[number] if best else GREY, "width": 2 if best else 1},
            marker={"size": 6 if best else 3},
            hovertemplate=f"<b>{escape(name)}</b><br>epoch %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    longest = max((point[0] for points in curves for point in points), default=1)
    figure.update_xaxes(title="epoch", tickformat="d", **({"dtick": 1} if longest <= 15 else {}))
    return figure.update_yaxes(title=escape(metric))


def draw_parallel(axes: Sequence[Axis], names: Sequence[str]) -> go.Figure:
    """A line down the axes for each trial, best first; the last axis is the metric and gives the colour."""
    wrapped = [wrap_ticks(axis) for axis in axes]
    heights = [46 + 13 * max(text.count("<br>") for _, text in ticks) for ticks in wrapped]
    tops = [-float(sum(heights[:row])) for row in range(len(axes))]
    figure = frame(sum(heights) + 30, margin={"l": 22, "r": 22, "t": 24, "b": 8})
    spread = np.linspace(-0.25, 0.25, len(names)) if len(names) > 1 else np.zeros(1)
    for row in reversed(range(len(names))):
        x = [axis.places[row] + axis.gap * spread[row] for axis in axes]
        told = "".join(f"<br>{escape(axis.name)}: {escape(axis.words[row])}" for axis in axes)
        figure.add_scatter(
            x=x,
            y=tops,
            mode="lines+markers",
            line={"color": shade(axes[-1].places[row]), "width": 3 if row == 0 else 1.5},
            marker={"size": 8 if row == 0 else 6},
            opacity=1 if row == 0 else 0.85,
            hovertemplate=f"<b>{escape(names[row])}</b>{told}<extra></extra>",
        )
    for axis, ticks, top in zip(axes, wrapped, tops, strict=True):
        figure.add_shape(type="line", x0=0, x1=1, y0=top, y1=top, line={"color": "#888888", "width": 1}, layer="below")
        title = f"<b>{escape(axis.name)}</b>{' (logarithmic)' if axis.logarithmic else ''}"
        note(figure, 0, top, title, xanchor="left", yanchor="bottom", yshift=4, xshift=-18)
        for place, text in ticks:
            side = "left" if place == 0 else "right" if place == 1 else "center"
            shift = {"left": -18, "right": 18, "center": 0}[side]
            note(figure, place, top, text, xanchor=side, yanchor="top", yshift=-4, xshift=shift, font={"size": 11})
    figure.update_xaxes(visible=False, range=[0, 1])
    return figure.update_yaxes(visible=False, range=[tops[-1] - heights[-1] + 8, 4])


def wrap_ticks(axis: Axis) -> list[tuple[float, str]]:
    """The ticks with their words in lines that do not meet on a phone."""
    width = max(6, 45 // len(axis.ticks))
    return [(place, "<br>".join(map(escape, wrap(text, width)))) for place, text in axis.ticks]


def wrap(text: str, width: int) -> list[str]:
    """Lines of about `width` letters, broken behind a space, + _ or /, and before a capital inside a word."""
    lines = [""]
    for piece in re.findall(r".+?(?:[+_/ ]|(?<=[a-z])(?=[A-Z])|$)", text):
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def shade(place: float) -> str:
    """Dark for 1, pale for 0."""
    return sample_colorscale("Viridis", 0.9 * (1 - place))[0]


def note(figure: go.Figure, x: float, y: float, text: str, **options: Any) -> None:
    figure.add_annotation(
        x=x, y=y, text=text, showarrow=False, bgcolor="rgba(255,255,255,0.75)", borderpad=0, **options
    )


def draw_bars(names: Sequence[str], values: Sequence[float], form: str) -> go.Figure:
    """A bar for each name, the first on top, with its value behind it as `form` says."""
    figure = frame(34 + 30 * len(names))
    figure.add_bar(
        x=values,
        y=list(range(len(names))),
        orientation="h",
        marker={"color": BLUE},
        text=[format(value, form) for value in values],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_xaxes(range=[0, 1.15 * max(values)], tickformat=form)
    return name_rows(figure, [escape(name) for name in names])


def name_rows(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    """Names, of plotly's HTML, at 0, 1 … of the y axis, the first on top."""
    rows = list(range(len(names)))
    return figure.update_yaxes(
        tickvals=rows, ticktext=list(names), range=[len(names) - 0.5, -0.5], showgrid=False, ticklabelstandoff=6
    )


def draw_gains(rows: Sequence[dict[str, Any]], recommended: str, metric: str) -> go.Figure:
    """Dots with their intervals for {name, value, low, high}; what is recommended stands out."""
    figure = frame(60 + 36 * len(rows))
    values, low, high = (np.array([row[key] for row in rows], dtype=float) for key in ("value", "low", "high"))
    for number, row in enumerate(rows):
        colour = ORANGE if row["name"] == recommended else BLUE
        figure.add_scatter(
            x=[values[number]],
            y=[number],
            mode="markers+text",
            text=[f"{values[number]:.3f}"],
            textposition="top center",
            error_x=whisker(values[number : number + 1], low[number : number + 1], high[number : number + 1], colour),
            marker={"size": 11, "color": colour},
            hovertemplate=f"%{{x:.3f}} ({low[number]:.3f} to {high[number]:.3f})<extra></extra>",
        )
    figure.update_xaxes(title=escape(metric))
    name_rows(figure, [escape(row["name"]) for row in rows])
    return figure.update_yaxes(range=[len(rows) - 0.5, -0.8])  # room for the first number, which stands above its dot


def whisker(value: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": high - value,
        "arrayminus": value - low,
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def draw_confusion(counts: np.ndarray, classes: Sequence[str]) -> go.Figure:
    """Counts (K, K), rows the truth; coloured by their share of the row."""
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    many = len(classes) > FEW_ENOUGH
    names = [escape(name) for name in classes]
    told = [
        [f"true: {true}<br>predicted: {taken}<br>{n} of {of} photos" for taken, n in zip(names, row, strict=True)]
        for true, row, of in zip(names, counts, total[:, 0], strict=True)
    ]
    figure = frame(500 if many else 76 + 22 * len(classes))
    figure.add_heatmap(
        z=share,
        text=[["" if many or not n else str(n) for n in row] for row in counts],
        texttemplate="%{text}",
        textfont={"size": 8},
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
        colorscale="Blues",
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
    )
    every = 1 if not many else len(classes) // 20 + 1
    ticks = list(range(0, len(classes), every))
    figure.update_xaxes(tickvals=ticks, title="predicted", tickangle=0, tickfont={"size": 8}, showgrid=False)
    figure.update_yaxes(
        tickvals=ticks, ticktext=[f"{names[k]} {k}" for k in ticks], autorange="reversed", showgrid=False
    )
    return figure.update_yaxes(tickfont={"size": 10}, ticklabelstandoff=4)


def draw_classes(scores: ClassScores, classes: Sequence[str]) -> go.Figure:
    """F1 of each class with its interval, and how many photos and people show it."""
    figure = frame(56 + 32 * len(classes))
    people = [
        f"{escape(name)}<br><span style='font-size:10px;color:#666'>{n} photos, {who} people</span>"
        for name, n, who in zip(classes, scores.photos, scores.people, strict=True)
    ]
    figure.add_bar(
        x=scores.f1,
        y=list(range(len(classes))),
        orientation="h",
        marker={"color": PALETTE[4]},
        error_x=whisker(scores.f1, scores.low, scores.high, DARK),
        customdata=np.stack([scores.low, scores.high], axis=1),
        hovertemplate="F1 %{x:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
    )
    figure.update_xaxes(title="F1", range=[0, 1.02])
    return name_rows(figure, people)


def draw_reliability(calibration: Calibration) -> go.Figure:
    figure = frame(380)
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dash"}, hoverinfo="skip")
    filled = calibration.count > 0
    count = calibration.count[filled]
    figure.add_scatter(
        x=calibration.confidence[filled],
        y=calibration.accuracy[filled],
        mode="lines+markers+text",
        line={"color": BLUE, "width": 1},
        marker={"size": 8 + 18 * np.sqrt(count / count.max()), "color": BLUE, "opacity": 0.85},
        text=[str(n) for n in count],
        textposition="bottom right",
        customdata=count,
        hovertemplate="%{customdata} photos: mean confidence %{x:.2f}, right %{y:.2f}<extra></extra>",
    )
    figure.update_xaxes(title="mean probability of the predicted class", range=[-0.03, 1.06])
    return figure.update_yaxes(title="share that was right", range=[-0.06, 1.06])
