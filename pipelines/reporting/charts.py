"""The charts of a run as Plotly figures: gain, lift, calibration, walk forward, dependence. Frames in, figures out."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

# Okabe and Ito 2008, "Color Universal Design": told apart by readers of any colour vision
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GROUP_COLOURS = {"fit": BLUE, "engagement": ORANGE}
INK, QUIET, GREY, GRID = "#1b1f24", "#57606a", "#8c959f", "#e4e7eb"
CURVES = [(BLUE, "solid"), (VERMILION, "dash"), (GREEN, "dashdot"), (PURPLE, "longdash"), (SKY, "dot")]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross"]
PANELS = [("points", [0.5, 1.0]), ("rate", [0.24, 0.42]), ("n", [0.0, 0.16])]
PANEL_DIGITS = {"points": "+.1f", "rate": ".1%", "n": ","}
PANEL_AXIS = {"nticks": 4, "tickangle": 0, "rangemode": "tozero", "zeroline": True, "zerolinecolor": "#b6bec7"}
PANEL_TITLES = {"points": "points", "rate": "rate", "n": "rows"}
LONGEST_LABEL = 22
MOST_TICKS = 8
ROOM = 40  # characters that fit along an axis on a phone
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
    """Draw which share of the conversions the best leads hold.

    Parameters
    ----------
    curve
        who, share_called and gain, as in gain.csv.
    names
        Who is drawn, to its name in the legend, in the order of the legend.
    """
    figure = _curves(curve, names, "gain", ".1%")
    figure.add_scatter(x=[0, 1], y=[0, 1], name="any order", **_reference())
    figure.update_xaxes(title_text="share of rows called, best first", tickformat=".0%", range=[0, 1.001], dtick=0.2)
    return figure.update_yaxes(title_text="share of conversions reached", tickformat=".0%", range=[0, 1.01])


def lift(curve: pd.DataFrame, names: Mapping[str, str]) -> go.Figure:
    """Draw how many times the average the best leads convert; parameters as in `gain`, of lift.csv."""
    figure = _curves(curve, names, "lift", ".2f")
    figure.add_scatter(x=[0, 1], y=[1, 1], name="any order", **_reference())
    figure.update_xaxes(title_text="share of rows called, best first", tickformat=".0%", range=[0, 1.001], dtick=0.2)
    return figure.update_yaxes(title_text="times the average", rangemode="tozero")


def calibration(curve: pd.DataFrame) -> go.Figure:
    """Draw what was promised against what came, with the interval of each group.

    Parameters
    ----------
    curve
        n, probability, rate, rate_low, rate_high; one row a group of equal size, as in calibration.csv.
    """
    top = float(curve[["probability", "rate_high"]].max().max()) * 1.05
    figure = _blank()
    figure.add_scatter(x=[0, top], y=[0, top], name="promise kept", **_reference())
    figure.add_scatter(
        x=curve["probability"].tolist(),
        y=curve["rate"].tolist(),
        customdata=curve["n"].tolist(),
        error_y=_whiskers(curve["rate"], curve["rate_low"], curve["rate_high"], BLUE),
        name="groups of equal size",
        mode="markers",
        marker={"color": BLUE, "size": 9},
        cliponaxis=False,
        hovertemplate="promised %{x:.1%}, came %{y:.1%}, %{customdata:,} rows<extra></extra>",
    )
    figure.update_xaxes(title_text="promised", tickformat=".1%", range=[0, top])
    return figure.update_yaxes(title_text="came", tickformat=".1%", range=[0, top])


def walk_auc(periods: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> go.Figure:
    """Draw the AUC after each retraining; the first of `names` with its interval.

    Parameters
    ----------
    periods
        cut and figures, as in backtest.json.
    names
        Who is drawn, to its name in the legend, in the order of the legend.
    """
    figure = _walk(periods)
    places = list(range(len(periods)))
    for number, (who, name) in enumerate(names.items()):
        drawn = [period["metrics"][who] for period in periods]
        trace = _steps(periods, drawn, "auc", ".3f", number)
        spread = {"error_y": _spread_of(drawn, "auc", CURVES[number][0])} if number == 0 else {}
        figure.add_trace(trace.update(name=plain(name), **spread))
    figure.add_scatter(x=places, y=[0.5] * len(places), name="any order", **_reference())
    return figure.update_yaxes(title_text="AUC", tickformat=".2f")


def walk_promise(periods: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw what was promised after each retraining, with and without the correction of the level, and what came.

    Parameters
    ----------
    periods
        cut and figures, as in backtest.json.
    """
    model, uncorrected = ([period["metrics"][who] for period in periods] for who in ("model", "uncorrected"))
    came = _steps(periods, model, "base_rate", ".1%", 2).update(error_y=_spread_of(model, "base_rate", GREEN))
    promised = _steps(periods, model, "mean_probability", ".1%", 0)
    before = _steps(periods, uncorrected, "mean_probability", ".1%", 1)
    figure = _walk(periods)
    for trace, name in ((came, "came"), (promised, "promised"), (before, "promised, level of all training")):
        figure.add_trace(trace.update(name=name))
    return figure.update_yaxes(title_text="converted", tickformat=".0%", rangemode="tozero")


def dependence(rows: Sequence[Mapping[str, Any]], group: str, absent: str) -> go.Figure:
    """Draw how one feature's points, conversion rate and number of rows go with its value.

    Levels of a category are rows of dots; numbers run from left to right in groups of about equal size, evenly spaced.

    Parameters
    ----------
    rows
        As `models.explanation.importance.dependence` gives them: in the order of the values, missing last.
    group
        fit or engagement, which gives the colour.
    absent
        What a missing value is called; it stands apart from the others, with a hollow mark.
    """
    frame = _placed(rows, absent)
    levelled = any(isinstance(row["value"], str) for row in rows)
    along, across = ("y", "x") if levelled else ("x", "y")
    colours = {"points": GROUP_COLOURS[group], "rate": GREEN, "n": GREY}
    figure = _blank(showlegend=False)
    for number, (what, _) in enumerate(PANELS):
        for _, part in frame.groupby("missing"):
            trace = _bars(part, along) if what == "n" else _marks(part, what, along, colours[what], levelled)
            figure.add_trace(trace.update({f"{across}axis": _axis(across, number)}))
    return _lay_out_panels(figure, frame, along, across)


def value_text(value: str | float | None, absent: str) -> str:
    """Say a feature's value: the level's name, a number of three digits, or the word for a missing one."""
    if value is None:
        return absent
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def short_label(value: str | float) -> str:
    """A value for an axis: cut where it is long, and with nothing in it that Plotly takes for markup."""
    text = value_text(value, "")
    return plain(text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1].rstrip() + "…")


def plain(text: str) -> str:
    """Escape what Plotly would read as tags: labels come from data that others wrote."""
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


def _walk(periods: Sequence[Mapping[str, Any]]) -> go.Figure:
    """A blank chart with the cuts along it, evenly spaced, as many of them named as there is room for."""
    texts = [_cut_text(str(period["cut"])) for period in periods]
    widest = max(len(line) for text in texts for line in text.split("<br>"))
    every = math.ceil(len(texts) * (widest + 1) / ROOM)
    named = list(range(0, len(texts), every))
    ticks = {"tickvals": named, "ticktext": texts[::every], "tickangle": 0}
    axis = ticks | {"range": [-0.5, len(texts) - 0.5]}
    return _blank().update_xaxes(title_text="retrained", showgrid=False, **axis)


def _cut_text(cut: str) -> str:
    """Break a cut into two short lines: the year and the day, or the word row and its number."""
    return cut.replace("-", "<br>", 1).replace(" ", "<br>")


def _steps(
    periods: Sequence[Mapping[str, Any]], figures: Sequence[Mapping[str, float]], what: str, digits: str, number: int
) -> go.Scatter:
    colour, dash = CURVES[number]
    return go.Scatter(
        x=list(range(len(periods))),
        y=[entry[what] for entry in figures],
        customdata=[period["cut"] for period in periods],
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2.5 if number == 0 else 2},
        marker={"color": colour, "symbol": SYMBOLS[number], "size": 8},
        hovertemplate=f"%{{customdata}}: %{{y:{digits}}}",
        cliponaxis=False,
    )


def _spread_of(figures: Sequence[Mapping[str, float]], what: str, colour: str) -> dict[str, Any]:
    frame = pd.DataFrame(list(figures), dtype="float64")
    return _whiskers(frame[what], frame[f"{what}_low"], frame[f"{what}_high"], colour)


def _reference() -> dict[str, Any]:
    return {"mode": "lines", "line": {"color": GREY, "dash": "dot", "width": 1.5}, "hoverinfo": "skip"}


def _whiskers(at: pd.Series[float], low: pd.Series[float], high: pd.Series[float], colour: str) -> dict[str, Any]:
    above, below = (high - at).clip(lower=0), (at - low).clip(lower=0)
    ends = {"array": above.tolist(), "arrayminus": below.tolist()}
    return ends | {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 0}


def _placed(rows: Sequence[Mapping[str, Any]], absent: str) -> pd.DataFrame:
    """Give each value its place on the axis and its names; levels are sorted by points, missing stands apart."""
    known = [row for row in rows if row["value"] is not None]
    levelled = any(isinstance(row["value"], str) for row in known)
    if levelled:
        known = sorted(known, key=lambda row: float(row["points"]))
    every = 1 if levelled or len(known) <= MOST_TICKS else 2
    ticks = [short_label(row["value"]) if place % every == 0 else "" for place, row in enumerate(known)]
    missing = [row for row in rows if row["value"] is None]
    return pd.DataFrame([*known, *missing]).assign(
        place=[float(place) for place in range(len(known))] + [-1.5 if levelled else len(known) + 0.5 for _ in missing],
        missing=[False] * len(known) + [True] * len(missing),
        text=[plain(value_text(row["value"], absent)) for row in [*known, *missing]],
        tick=ticks + [absent if levelled else absent.replace(" ", "<br>") for _ in missing],
    )


def _marks(rows: pd.DataFrame, what: str, along: str, colour: str, levelled: bool) -> go.Scatter:
    across = "x" if along == "y" else "y"
    missing = bool(rows["missing"].any())
    trace = go.Scatter(
        _data(rows, what, along),
        mode="markers" if levelled or missing else "lines+markers",
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
    values = {along: rows["place"].tolist(), across: rows[what].tolist()}
    return values | {"customdata": rows["text"].tolist(), "hovertemplate": hover}


def _axis(letter: str, number: int) -> str:
    return letter if number == 0 else f"{letter}{number + 1}"


def _lay_out_panels(figure: go.Figure, frame: pd.DataFrame, along: str, across: str) -> go.Figure:
    """Put points, rate and rows into panels that share the axis of the values."""
    upright = across == "y"
    shared = {
        "tickmode": "array",
        "tickvals": frame["place"].tolist(),
        "ticktext": frame["tick"].tolist(),
        "showgrid": False,
        "anchor": _axis("y", len(PANELS) - 1) if upright else "x",
        "range": [float(frame["place"].min()) - 0.7, float(frame["place"].max()) + 0.7],
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


def _two_ticks(what: str, most: float) -> dict[str, Any]:
    """Mark nought and the largest round number: the small panels have no room for more."""
    if what == "points":
        return {}
    unit = 10 ** math.floor(math.log10(most)) if most > 0 else 1
    ticks = [0, unit * math.floor(most / unit)] if most > 0 else [0]
    return {"tickvals": ticks, "tickformat": ".3~p" if what == "rate" else ","}


def _title(text: str) -> dict[str, Any]:
    font = {"size": 12, "color": QUIET}
    return {"text": text, "font": font, "showarrow": False, "xref": "paper", "yref": "paper", "xanchor": "left",
            "yanchor": "bottom"}  # fmt: skip
