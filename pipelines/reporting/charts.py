"""The charts of a run as Plotly figures: gain, lift, calibration, walk forward, dependence."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from models.evaluation.estimate import ModelMetrics
from models.evaluation.results import BacktestPeriod
from models.explanation.results import DependencePoint

# Okabe and Ito 2008, "Color Universal Design": distinct for readers of any colour vision
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GROUP_COLOURS = {"fit": BLUE, "engagement": ORANGE}
INK, QUIET, GREY, GRID = "#1b1f24", "#57606a", "#8c959f", "#e4e7eb"
CURVES = [(BLUE, "solid"), (VERMILION, "dash"), (GREEN, "dashdot"), (PURPLE, "longdash"), (SKY, "dot")]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross"]
PANELS = [("points", [0.5, 1.0]), ("rate", [0.24, 0.42]), ("n", [0.0, 0.16])]
PANEL_DIGITS = {"points": "+.1f", "rate": ".1%", "n": ","}
PANEL_AXIS = {"nticks": 4, "tickangle": 0, "rangemode": "tozero", "zeroline": True, "zerolinecolor": "#b6bec7"}
PANEL_TITLES = {"points": "points", "rate": "rate", "n": "rows"}
MAX_LABEL_LENGTH = 22
MAX_TICKS = 8
AXIS_CHARACTERS = 40  # characters that fit along an axis on a phone
HEIGHT = 360

AXIS = {
    "fixedrange": True,  # a finger that scrolls the page must not zoom the chart
    "gridcolor": GRID,
    "linecolor": GRID,
    "zeroline": False,
    "automargin": True,
    "ticks": "outside",
    "ticklen": 5,
    "tickcolor": "rgba(0,0,0,0)",  # a gap between label and axis
    "tickfont": {"color": QUIET, "size": 12},
    "title": {"font": {"color": QUIET, "size": 13}},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 52, "r": 24, "t": 40, "b": 48},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": GRID, "font": {"color": INK}},
        "dragmode": False,
        "xaxis": AXIS,
        "yaxis": AXIS,
    }
)


def gain(curve: pd.DataFrame, names: Mapping[str, str]) -> go.Figure:
    """Draw the share of all conversions among the best leads.

    Parameters
    ----------
    curve
        who, share_called and gain, as in gain.csv.
    names
        The curves to draw and their names in the legend, in the order of the legend.
    """
    figure = _curves(curve, names, "gain", ".1%")
    figure.add_scatter(x=[0, 1], y=[0, 1], name="any order", **_reference())
    figure.update_xaxes(title_text="share of rows called, best first", tickformat=".0%", range=[0, 1.001], dtick=0.2)
    return figure.update_yaxes(title_text="share of conversions reached", tickformat=".0%", range=[0, 1.01])


def lift(curve: pd.DataFrame, names: Mapping[str, str]) -> go.Figure:
    """Draw the conversion rate of the best leads relative to the average; parameters as in `gain`, with lift.csv."""
    figure = _curves(curve, names, "lift", ".2f")
    figure.add_scatter(x=[0, 1], y=[1, 1], name="any order", **_reference())
    figure.update_xaxes(title_text="share of rows called, best first", tickformat=".0%", range=[0, 1.001], dtick=0.2)
    return figure.update_yaxes(title_text="times the average", rangemode="tozero")


def calibration(curve: pd.DataFrame) -> go.Figure:
    """Draw the predicted against the actual conversion rate, with the interval of each group.

    Parameters
    ----------
    curve
        n, probability, rate, rate_low, rate_high; one row a group of equal size, as in calibration.csv.
    """
    limit = float(curve[["probability", "rate_high"]].max().max()) * 1.05
    figure = _blank()
    figure.add_scatter(x=[0, limit], y=[0, limit], name="perfectly calibrated", **_reference())
    figure.add_scatter(
        x=curve["probability"].tolist(),
        y=curve["rate"].tolist(),
        customdata=curve["n"].tolist(),
        error_y=_whiskers(curve["rate"], curve["rate_low"], curve["rate_high"], BLUE),
        name="groups of equal size",
        mode="markers",
        marker={"color": BLUE, "size": 9},
        cliponaxis=False,
        hovertemplate="predicted %{x:.1%}, actual %{y:.1%}, %{customdata:,} rows<extra></extra>",
    )
    figure.update_xaxes(title_text="predicted", tickformat=".1%", range=[0, limit])
    return figure.update_yaxes(title_text="actual", tickformat=".1%", range=[0, limit])


def walk_auc(periods: Sequence[BacktestPeriod], names: Mapping[str, str]) -> go.Figure:
    """Draw the AUC after each retraining; the first of `names` with its interval.

    Parameters
    ----------
    names
        The curves to draw and their names in the legend, in the order of the legend.
    """
    figure = _walk(periods)
    positions = list(range(len(periods)))
    for number, (who, name) in enumerate(names.items()):
        metrics = [period.metrics[who] for period in periods]
        trace = _steps(periods, metrics, "auc", ".3f", number)
        spread = {"error_y": _spread_of(metrics, "auc", CURVES[number][0])} if number == 0 else {}
        figure.add_trace(trace.update(name=plain(name), **spread))
    figure.add_scatter(x=positions, y=[0.5] * len(positions), name="any order", **_reference())
    return figure.update_yaxes(title_text="AUC", tickformat=".2f")


def walk_rates(periods: Sequence[BacktestPeriod]) -> go.Figure:
    """Draw the predicted rate after each retraining, with and without recalibration, and the actual rate."""
    model, uncorrected = ([period.metrics[who] for period in periods] for who in ("model", "uncorrected"))
    actual = _steps(periods, model, "base_rate", ".1%", 2).update(error_y=_spread_of(model, "base_rate", GREEN))
    predicted = _steps(periods, model, "mean_probability", ".1%", 0)
    unadjusted = _steps(periods, uncorrected, "mean_probability", ".1%", 1)
    figure = _walk(periods)
    for trace, name in (
        (actual, "actual"),
        (predicted, "predicted"),
        (unadjusted, "predicted, without recalibration"),
    ):
        figure.add_trace(trace.update(name=name))
    return figure.update_yaxes(title_text="converted", tickformat=".0%", rangemode="tozero")


def dependence(rows: Sequence[DependencePoint], group: str, absent: str) -> go.Figure:
    """Draw one feature's points, conversion rate and number of rows by its value.

    Levels of a category are rows of dots; numbers run from left to right in groups of about equal size, evenly spaced.

    Parameters
    ----------
    rows
        In the order of the values, missing last.
    group
        fit or engagement, which gives the colour.
    absent
        The label of a missing value, which is drawn separately from the others with a hollow marker.
    """
    frame = _positioned(rows, absent)
    categorical = any(isinstance(row.value, str) for row in rows)
    along, across = ("y", "x") if categorical else ("x", "y")
    colours = {"points": GROUP_COLOURS[group], "rate": GREEN, "n": GREY}
    figure = _blank(showlegend=False)
    for number, (what, _) in enumerate(PANELS):
        for _, part in frame.groupby("missing"):
            trace = _bars(part, along) if what == "n" else _markers(part, what, along, colours[what], categorical)
            figure.add_trace(trace.update({f"{across}axis": _axis(across, number)}))
    return _lay_out_panels(figure, frame, along, across)


def value_text(value: str | float | None, absent: str) -> str:
    """Format a feature's value: the level's name, a number of three digits, or the label of a missing value."""
    if value is None:
        return absent
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def short_label(value: str | float | None) -> str:
    """Format a value for an axis: shortened, and without anything that Plotly reads as markup."""
    text = value_text(value, "")
    return plain(text if len(text) <= MAX_LABEL_LENGTH else text[: MAX_LABEL_LENGTH - 1].rstrip() + "…")


def plain(text: str) -> str:
    """Escape what Plotly would read as tags: labels come from the user's data."""
    return html.escape(text, quote=False)


def _blank(**layout: Any) -> go.Figure:
    return go.Figure(layout={"template": TEMPLATE, "height": HEIGHT} | layout)


def _curves(curve: pd.DataFrame, names: Mapping[str, str], column: str, digits: str) -> go.Figure:
    figure = _blank(hovermode="x unified")
    for number, (who, name) in enumerate(names.items()):
        rows = curve[curve["who"] == who]
        colour, dash = CURVES[number % len(CURVES)]
        figure.add_scatter(
            x=rows["share_called"].tolist(),
            y=rows[column].tolist(),
            name=plain(name),
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5 if number == 0 else 2},
            hovertemplate=f"%{{y:{digits}}}",
        )
    return figure


def _walk(periods: Sequence[BacktestPeriod]) -> go.Figure:
    """Return a blank chart with the cuts along its axis, evenly spaced, as many of them labelled as fit."""
    texts = [_cut_text(period.cut) for period in periods]
    widest = max(len(line) for text in texts for line in text.split("<br>"))
    every = math.ceil(len(texts) * (widest + 1) / AXIS_CHARACTERS)
    labelled = list(range(0, len(texts), every))
    ticks = {"tickvals": labelled, "ticktext": texts[::every], "tickangle": 0}
    axis = ticks | {"range": [-0.5, len(texts) - 0.5]}
    return _blank().update_xaxes(title_text="retrained", showgrid=False, **axis)


def _cut_text(cut: str) -> str:
    """Break a cut into two short lines: the year and the day, or the word row and its number."""
    return cut.replace("-", "<br>", 1).replace(" ", "<br>")


def _steps(
    periods: Sequence[BacktestPeriod], metrics: Sequence[ModelMetrics], name: str, digits: str, number: int
) -> go.Scatter:
    colour, dash = CURVES[number]
    return go.Scatter(
        x=list(range(len(periods))),
        y=[entry[name].value for entry in metrics],
        customdata=[period.cut for period in periods],
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2.5 if number == 0 else 2},
        marker={"color": colour, "symbol": SYMBOLS[number], "size": 8},
        hovertemplate=f"%{{customdata}}: %{{y:{digits}}}",
        cliponaxis=False,
    )


def _spread_of(metrics: Sequence[ModelMetrics], name: str, colour: str) -> dict[str, Any]:
    frame = pd.DataFrame([one[name] for one in metrics])
    return _whiskers(frame["value"], frame["low"], frame["high"], colour)


def _reference() -> dict[str, Any]:
    return {"mode": "lines", "line": {"color": GREY, "dash": "dot", "width": 1.5}, "hoverinfo": "skip"}


def _whiskers(at: pd.Series[float], low: pd.Series[float], high: pd.Series[float], colour: str) -> dict[str, Any]:
    above, below = (high - at).clip(lower=0), (at - low).clip(lower=0)
    ends = {"array": above.tolist(), "arrayminus": below.tolist()}
    return ends | {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 0}


def _positioned(rows: Sequence[DependencePoint], absent: str) -> pd.DataFrame:
    """Give each value its position on the axis and its labels; levels are sorted by points, missing is last."""
    known = [row for row in rows if row.value is not None]
    categorical = any(isinstance(row.value, str) for row in known)
    if categorical:
        known = sorted(known, key=lambda row: row.points)
    every = 1 if categorical or len(known) <= MAX_TICKS else 2
    ticks = [short_label(row.value) if position % every == 0 else "" for position, row in enumerate(known)]
    missing = [row for row in rows if row.value is None]
    return pd.DataFrame([row.model_dump() for row in [*known, *missing]]).assign(
        position=[float(number) for number in range(len(known))]
        + [-1.5 if categorical else len(known) + 0.5 for _ in missing],
        missing=[False] * len(known) + [True] * len(missing),
        text=[plain(value_text(row.value, absent)) for row in [*known, *missing]],
        tick=ticks + [absent if categorical else absent.replace(" ", "<br>") for _ in missing],
    )


def _markers(rows: pd.DataFrame, what: str, along: str, colour: str, categorical: bool) -> go.Scatter:
    across = "x" if along == "y" else "y"
    missing = bool(rows["missing"].any())
    trace = go.Scatter(
        _data(rows, what, along),
        mode="markers" if categorical or missing else "lines+markers",
        marker={"color": colour, "size": 7, "symbol": "diamond-open" if missing else "circle"},
        line={"color": colour, "width": 2},
    )
    spread = _whiskers(rows["points"], rows["points_low"], rows["points_high"], colour)
    return trace.update({f"error_{across}": spread}) if what == "points" else trace


def _bars(rows: pd.DataFrame, along: str) -> go.Bar:
    return go.Bar(_data(rows, "n", along), marker={"color": GREY}, orientation="h" if along == "y" else "v")


def _data(rows: pd.DataFrame, what: str, along: str) -> dict[str, Any]:
    across = "x" if along == "y" else "y"
    hover = f"%{{customdata}}: %{{{across}:{PANEL_DIGITS[what]}}}<extra></extra>"
    values = {along: rows["position"].tolist(), across: rows[what].tolist()}
    return values | {"customdata": rows["text"].tolist(), "hovertemplate": hover}


def _axis(letter: str, number: int) -> str:
    return letter if number == 0 else f"{letter}{number + 1}"


def _lay_out_panels(figure: go.Figure, frame: pd.DataFrame, along: str, across: str) -> go.Figure:
    """Put points, rate and rows into panels that share the axis of the values."""
    upright = across == "y"
    shared = {
        "tickmode": "array",
        "tickvals": frame["position"].tolist(),
        "ticktext": frame["tick"].tolist(),
        "showgrid": False,
        "anchor": _axis("y", len(PANELS) - 1) if upright else "x",
        "range": [float(frame["position"].min()) - 0.7, float(frame["position"].max()) + 0.7],
        "tickangle": 0,
    }
    axes: dict[str, Any] = {f"{along}axis": shared}
    titles = []
    for number, (what, span) in enumerate(PANELS):
        domain = span if upright else [1 - span[1], 1 - span[0]]
        name = _axis(across, number).replace(across, f"{across}axis")
        axes[name] = PANEL_AXIS | {"domain": domain, "anchor": along} | _two_ticks(what, float(frame[what].max()))
        titles.append(_title(PANEL_TITLES[what]) | ({"x": 0, "y": domain[1]} if upright else {"x": domain[0], "y": 1}))
    height = 340 if upright else 110 + 24 * len(frame)
    return figure.update_layout(axes, annotations=titles, height=height, margin={"l": 44, "r": 12, "t": 24, "b": 28})


def _two_ticks(panel: str, maximum: float) -> dict[str, Any]:
    """Label zero and the largest round number: the small panels have no room for more."""
    if panel == "points":
        return {}
    unit = 10 ** math.floor(math.log10(maximum)) if maximum > 0 else 1
    ticks = [0, unit * math.floor(maximum / unit)] if maximum > 0 else [0]
    return {"tickvals": ticks, "tickformat": ".3~p" if panel == "rate" else ","}


def _title(text: str) -> dict[str, Any]:
    font = {"size": 12, "color": QUIET}
    return {"text": text, "font": font, "showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "left",
            "yanchor": "bottom"}  # fmt: skip
