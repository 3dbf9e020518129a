"""The charts of a run as Vega-Lite specifications, and as SVG: gain, lift, calibration, walk forward, dependence."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from models.evaluation.estimate import ModelMetrics
from models.evaluation.results import BacktestPeriod
from models.explanation.results import DependencePoint
from models.tiers.results import TierFlow

Chart = dict[str, Any]  # a Vega-Lite specification: https://vega.github.io/vega-lite/docs/spec.html

# Okabe and Ito 2008, "Color Universal Design": distinct for readers of any colour vision
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
INK, QUIET, GREY, GRID = "#1b1f24", "#57606a", "#8c959f", "#dde1e6"
VARIABLES = {  # a page's own colours, light or dark, by the colours above
    BLUE: "blue", VERMILION: "vermilion", GREEN: "green", PURPLE: "purple", ORANGE: "orange", SKY: "sky",
    INK: "ink", QUIET: "quiet", GREY: "faint", GRID: "line",
}  # fmt: skip
GROUP_COLOURS = {"fit": BLUE, "engagement": ORANGE}
COLOURS = [BLUE, VERMILION, GREEN, PURPLE, SKY]
DASHES = [[1, 0], [6, 3], [6, 3, 1, 3], [10, 4], [2, 2]]
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross"]
MAX_LABEL_LENGTH = 22
OFF_LIST = "not listed"
WIDTH, HEIGHT = 440, 300  # of a phone held upright, so that text keeps its size there
VEGA_LITE = "6.4"  # the version that draws; another one may give other bytes
SVG = "http://www.w3.org/2000/svg"
FONT, FONT_SIZE = "Liberation Sans", 13  # to lay out by: narrower than some, so a page shows it at 12
LONG_NUMBER = re.compile(r"\d+\.\d{2,}(?:e-?\d+)?")
AXIS = {"domain": False, "ticks": False, "gridColor": GRID, "labelColor": QUIET, "titleColor": QUIET, "labelPadding": 6,
        "labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE, "titleFontWeight": "normal", "titlePadding": 8,
        "labelOverlap": "greedy", "labelSeparation": 8, "labelAngle": 0}  # fmt: skip
CONFIG = {
    "font": FONT,
    "background": None,
    "view": {"stroke": None},
    "axis": AXIS,
    "legend": {"orient": "top", "title": None, "columns": 2, "labelColor": INK, "labelFontSize": FONT_SIZE,
               "symbolStrokeWidth": 2, "symbolSize": 200, "labelLimit": 180},
    "title": {"anchor": "start", "color": QUIET, "fontSize": FONT_SIZE, "fontWeight": "normal", "offset": 6},
}  # fmt: skip


@functools.lru_cache(maxsize=128)
def _drawn(specification: str) -> str:
    import vl_convert  # starts a JavaScript engine, which no other command needs

    return str(vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE))


def svg(chart: Chart) -> str:
    """Draw a chart: text stays text, colours follow the page, and the description of a mark is its tooltip."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(_drawn(json.dumps(chart | {"config": CONFIG}, sort_keys=True)))  # noqa: S314 - ours
    for attribute in ("width", "height", "version", "class"):
        root.attrib.pop(attribute, None)
    _tidy(root)
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, name in VARIABLES.items():
        text = text.replace(f'"{colour}"', f'"var(--{name}, {colour})"')
    return text


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _tidy(parent: ElementTree.Element) -> None:
    """Leave out what a reader cannot see, and give marks their tooltips."""
    for child in list(parent):
        unseen = child.get("opacity") == "0" or child.get("class") == "foreground"
        if unseen or (child.get("class") == "background" and not child.get("stroke")):
            parent.remove(child)
            continue
        label = child.attrib.pop("aria-label", None)
        for attribute in {"d", "transform", "x2", "y2"} & set(child.attrib):
            child.set(attribute, LONG_NUMBER.sub(_rounded, child.attrib[attribute]))
        if child.get("font-size") == f"{FONT_SIZE}px":
            child.set("font-size", "12px")
        for attribute in ("class", "role", "aria-roledescription", "aria-hidden", "pointer-events", "font-family"):
            child.attrib.pop(attribute, None)
        if child.get("opacity") == "1":
            child.attrib.pop("opacity")
        _tidy(child)
        if label is not None:
            ElementTree.SubElement(child, f"{{{SVG}}}title").text = label
        if child.tag == f"{{{SVG}}}g" and not len(child):
            parent.remove(child)


def gain(curve: pd.DataFrame, names: Mapping[str, str]) -> Chart:
    """Draw the share of all conversions among the best leads.

    Parameters
    ----------
    curve
        who, share_called and gain, as in gain.csv.
    names
        The curves to draw and their names in the legend, in the order of the legend.
    """
    return _curves(curve, names, "gain", _axis("share of conversions reached", ".0%"), [0.0, 1.0])


def lift(curve: pd.DataFrame, names: Mapping[str, str]) -> Chart:
    """Draw the conversion rate of the best leads relative to the average; parameters as in `gain`, with lift.csv."""
    return _curves(curve, names, "lift", _axis("times the average", "~g"), [1.0, 1.0])


def calibration(curve: pd.DataFrame) -> Chart:
    """Draw the predicted against the actual conversion rate, with the interval of each group.

    Parameters
    ----------
    curve
        n, probability, rate, rate_low, rate_high; one row a group of equal size, as in calibration.csv.
    """
    limit = float(curve[["probability", "rate_high"]].max().max()) * 1.05
    scale = {"domain": [0, limit], "nice": False}
    rows = [
        row
        | {
            "text": f"predicted {row['probability']:.1%}, actual {row['rate']:.1%} "
            f"({row['rate_low']:.1%} to {row['rate_high']:.1%}), {row['n']:,.0f} rows"
        }
        for row in _records(curve)
    ]
    x = _quantity("probability", "predicted", "~p") | {"scale": scale}
    y = _quantity("rate", "actual", "~p") | {"scale": scale}
    whiskers = _layer(_rule(), x=x, y=y | {"field": "rate_low"}, y2={"field": "rate_high"})
    return _sized() | {
        "data": {"values": rows},
        "layer": [
            _reference([(0.0, 0.0), (limit, limit)], "probability", "rate"),
            whiskers,
            _layer({"type": "point", "filled": True, "size": 70, "color": BLUE, "opacity": 1}, x=x, y=y, **TOOLTIP),
        ],
    }


def walk_auc(periods: Sequence[BacktestPeriod], names: Mapping[str, str]) -> Chart:
    """Draw the AUC after each retraining; the first of `names` with its interval.

    Parameters
    ----------
    names
        The curves to draw and their names in the legend, in the order of the legend.
    """
    series = {name: [period.metrics[who] for period in periods] for who, name in names.items()}
    rows = [row for name, metrics in series.items() for row in _steps(periods, metrics, "auc", name, ".3f")]
    return _walk(periods, rows, list(names.values()), _axis("AUC", ".2f") | {"scale": {"zero": False}}, reference=0.5)


def walk_rates(periods: Sequence[BacktestPeriod]) -> Chart:
    """Draw the actual rate after each retraining, and the predicted one with and without recalibration."""
    model, uncorrected = ([period.metrics[who] for period in periods] for who in ("model", "uncorrected"))
    series = {
        "actual": _steps(periods, model, "base_rate", "actual", ".1%"),
        "predicted": _steps(periods, model, "mean_probability", "predicted", ".1%"),
        "without recalibration": _steps(periods, uncorrected, "mean_probability", "without recalibration", ".1%"),
    }
    rows = [row for steps in series.values() for row in steps]
    return _walk(periods, rows, list(series), _axis("converted", "~p") | {"scale": {"zero": True}}, reference=None)


def dependence(rows: Sequence[DependencePoint], group: str, absent: str) -> Chart:
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
    categorical = any(isinstance(row.value, str) for row in rows)
    values, along = _positioned(rows, absent, categorical)
    labels = json.dumps({row["at"]: row["label"] for row in values})
    shown = {"labelExpr": f"{labels}[datum.value] || ''", "labelLimit": 150, "title": None, "grid": False}
    shown |= {"minExtent": 6 + 8 * max(len(row["label"]) for row in values)} if categorical else {}
    panels = [
        _panel("points", GROUP_COLOURS[group], categorical, along, shown if categorical else None),
        _panel("rate", GREEN, categorical, along, None),
        _panel("n", GREY, categorical, along, None if categorical else shown),
    ]
    return {"data": {"values": values}, "spacing": 14, "hconcat" if categorical else "vconcat": panels}


def value_text(value: str | float | None, absent: str) -> str:
    """Format a feature's value: the level's name, a number of three digits, or the label of a missing value."""
    if value is None:
        return absent
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def short_label(value: str | float | None) -> str:
    """Format a value for an axis: shortened."""
    text = value_text(value, "")
    return text if len(text) <= MAX_LABEL_LENGTH else text[: MAX_LABEL_LENGTH - 1].rstrip() + "…"


TOOLTIP = {"description": {"field": "text"}}
PANELS = {"points": ("points", "+~r", 150), "rate": ("rate", "~p", 70), "n": ("rows", ",~r", 50)}


def _sized() -> Chart:
    return {"width": WIDTH, "height": HEIGHT, "autosize": {"type": "fit", "contains": "padding"}}


def _axis(title: str, digits: str) -> Chart:
    return {"title": title, "axis": {"format": digits}}


def _quantity(field: str, title: str | None = None, digits: str = "~g") -> Chart:
    return {"field": field, "type": "quantitative", "title": title, "axis": {"format": digits, "tickCount": 5}}


def _layer(mark: Chart, **encoding: Any) -> Chart:
    return {"mark": {"aria": "description" in encoding} | mark, "encoding": encoding}


def _rule(colour: str = BLUE) -> Chart:
    return {"type": "rule", "color": colour, "strokeWidth": 1.2}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _reference(ends: Sequence[tuple[float, float]], x: str, y: str) -> Chart:
    """Draw a dotted line between two points."""
    mark = {"type": "line", "color": GREY, "strokeDash": [2, 3], "strokeWidth": 1.5}
    layer = _layer(mark, x={"field": x, "type": "quantitative"}, y={"field": y, "type": "quantitative"})
    return {"data": {"values": [{x: one, y: other} for one, other in ends]}} | layer


def _curves(curve: pd.DataFrame, names: Mapping[str, str], column: str, y: Chart, reference: list[float]) -> Chart:
    rows = curve[curve["who"].isin(list(names))]
    rows = rows.assign(name=rows["who"].map(dict(names)))[["name", "share_called", column]]
    x = _quantity("share_called", "share of rows called, best first", ".0%") | {"scale": {"domain": [0, 1]}}
    curves = _layer({"type": "line", "strokeWidth": 2}, x=x, y={"field": column, "type": "quantitative"} | y,
                    **_series(list(names.values())))  # fmt: skip
    dotted = _reference([(0.0, reference[0]), (1.0, reference[1])], "share_called", column)
    return _sized() | {"data": {"values": _records(rows)}, "layer": [dotted, curves]}


def _series(names: list[str], shape: bool = False) -> Chart:
    """Tell curves apart by colour and dash, and by shape where they have markers, in the order of their names."""
    n = len(names)
    scales: dict[str, list[Any]] = (
        {"color": COLOURS, "shape": SHAPES} if shape else {"color": COLOURS, "strokeDash": DASHES}
    )
    return {
        channel: {"field": "name", "type": "nominal", "sort": None, "scale": {"domain": names, "range": marks[:n]}}
        for channel, marks in scales.items()
    }


def _walk(periods: Sequence[BacktestPeriod], rows: list[Chart], names: list[str], y: Chart,
          reference: float | None) -> Chart:  # fmt: skip
    """Draw series over the cuts, evenly spaced, as many of them labelled as fit; whiskers where a row has ends."""
    cuts = [period.cut for period in periods]
    labels = json.dumps({cut: re.split("[- ]", cut, maxsplit=1) for cut in cuts})
    x = {"field": "cut", "type": "ordinal", "title": "retrained", "scale": {"domain": cuts},
         "axis": {"labelExpr": f"{labels}[datum.value]", "grid": False}}  # fmt: skip
    at = {"field": "value", "type": "quantitative"} | y
    ends = [row for row in rows if row["name"] == names[0]]
    layers = [
        {"data": {"values": ends}} | _layer(_rule(), x=x, y=at | {"field": "low"}, y2={"field": "high"}),
        _layer({"type": "line", "strokeWidth": 2}, x=x, y=at, color=_series(names, shape=True)["color"]),
        _layer({"type": "point", "filled": True, "size": 60, "opacity": 1}, x=x, y=at, **_series(names, shape=True),
               **TOOLTIP),
    ]  # fmt: skip
    if reference is not None:
        dotted = {"type": "rule", "color": GREY, "strokeDash": [2, 3], "strokeWidth": 1.5}
        layers.insert(0, {"data": {"values": [{"value": reference}]}} | _layer(dotted, y=at))
    return _sized() | {"data": {"values": rows}, "layer": layers}


def _steps(
    periods: Sequence[BacktestPeriod], metrics: Sequence[ModelMetrics], name: str, label: str, digits: str
) -> list[Chart]:
    """Return the rows of one series."""
    return [
        {
            "cut": period.cut,
            "name": label,
            "value": entry[name].value,
            "low": entry[name].low,
            "high": entry[name].high,
            "text": f"{period.cut}: {label} {entry[name].value:{digits}}",
        }
        for period, entry in zip(periods, metrics, strict=True)
    ]


def _positioned(rows: Sequence[DependencePoint], absent: str, categorical: bool) -> tuple[list[Chart], list[str]]:
    """Give each value its place along the axis, and name all places; levels are sorted by points, missing is last."""
    known = [row for row in rows if row.value is not None]
    missing = [row for row in rows if row.value is None]
    if categorical:
        known = sorted(known, key=lambda row: -row.points)
    values = [
        row.model_dump(exclude={"value"})
        | {
            "at": str(place),
            "label": short_label(row.value) if row.value is not None else absent if categorical else absent.split(" "),
            "missing": row.value is None,
            "text": f"{value_text(row.value, absent)}: {row.points:+.1f} points ({row.points_low:+.1f} to "
            f"{row.points_high:+.1f}), {row.rate:.1%} converted, {row.n:,} rows",
        }
        for place, row in enumerate([*known, *missing])
    ]
    places = [row["at"] for row in values]
    return values, places if not (known and missing) else [*places[:-1], "gap", places[-1]]


def _panel(what: str, colour: str, categorical: bool, along: list[str], axis: Chart | None) -> Chart:
    """Draw points with whiskers, the rate, or bars of rows, along the values that all panels share."""
    title, digits, size = PANELS[what]
    scale = {} if what == "points" else {"scale": {"zero": True}}
    place = {"field": "at", "type": "ordinal", "sort": None, "scale": {"domain": along}, "axis": axis}
    value: Chart = {"field": what, "type": "quantitative", "title": None} | scale
    ticks = {"format": digits, "tickCount": 4 if what == "points" else 2, "minExtent": 0 if categorical else 40}
    value |= {"axis": ticks}
    x, y = (value, place) if categorical else (place, value)
    ends = "x" if categorical else "y"
    layers = []
    if what == "points":
        low = {ends: value | {"field": "points_low"}, f"{ends}2": {"field": "points_high"}}
        layers.append(_layer(_rule(colour), **({"x": x, "y": y} | low)))
    if what != "n" and not categorical:
        line = _layer({"type": "line", "strokeWidth": 2, "color": colour}, x=x, y=y)
        layers.append(line | {"transform": [{"filter": "!datum.missing"}]})
    if what == "n":
        layers.append(_layer({"type": "bar", "color": colour}, x=x, y=y, **TOOLTIP))
    else:
        hollow = {"condition": {"test": "datum.missing", "value": 0}, "value": 1}
        mark = {"type": "point", "color": colour, "fill": colour, "size": 45, "opacity": 1}
        layers.append(_layer(mark, x=x, y=y, fillOpacity=hollow, **TOOLTIP))
    extent = {"width": {150: 170}.get(size, size), "height": 24 * len(along)} if categorical else {
        "width": WIDTH - 60, "height": size}  # fmt: skip
    return {"title": title, "layer": layers} | extent


def tier_flows(flows: Sequence[TierFlow], tiers: Sequence[str], earlier: str, later: str) -> Chart:
    """Draw how many leads went from each tier to each: dots by tier before and now, green up, vermilion down.

    Parameters
    ----------
    tiers
        From the best down; leads that one of the lists does not hold come last.
    earlier, later
        What the two lists are called.
    """
    named = [name for flow in flows for name in (flow.tier_from, flow.tier_to) if name]
    order = [*dict.fromkeys([*tiers, *named]), OFF_LIST]
    rows = [
        {
            "from": (before := flow.tier_from or OFF_LIST),
            "to": (now := flow.tier_to or OFF_LIST),
            "n": flow.n,
            "way": "same" if before == now else "up" if order.index(now) < order.index(before) else "down",
            "text": f"{flow.n:,} leads from {before} to {now}",
        }
        for flow in flows
    ]
    axis = {"type": "ordinal", "sort": None, "scale": {"domain": order}}
    x = axis | {"field": "to", "title": later, "axis": {"orient": "top", "grid": False}}
    y = axis | {"field": "from", "title": earlier, "axis": {"grid": True}}
    ways = {"domain": ["up", "same", "down"], "range": [GREEN, GREY, VERMILION]}
    size = {"field": "n", "type": "quantitative", "legend": None, "scale": {"range": [20, 900]}}
    colour = {"field": "way", "type": "nominal", "scale": ways, "legend": {"columns": 3}}
    dots = _layer({"type": "circle", "opacity": 0.75}, x=x, y=y, size=size, color=colour, **TOOLTIP)
    numbers = _layer({"type": "text", "dy": 24, "color": INK, "fontSize": FONT_SIZE}, x=x, y=y,
                     text={"field": "n", "type": "quantitative", "format": ","})  # fmt: skip
    return _sized() | {"height": 70 * len(order) + 60, "data": {"values": rows}, "layer": [dots, numbers]}


def theme_moves(rows: Sequence[tuple[str, float]], title: str) -> Chart:
    """Draw themes as bars of points, in their order, by colour on either side of 0."""
    values = [{"label": short_label(label), "value": value, "text": f"{label}: {value:+.1f}"} for label, value in rows]
    y = {"field": "label", "type": "ordinal", "sort": None, "title": None, "axis": {"grid": False, "minExtent": 130}}
    colour = {"condition": {"test": "datum.value < 0", "value": VERMILION}, "value": BLUE}
    bars = _layer({"type": "bar"}, x=_quantity("value", title, "+~g"), y=y, color=colour, **TOOLTIP)
    return _sized() | {"height": 24 * len(values) + 40, "data": {"values": values}} | bars
