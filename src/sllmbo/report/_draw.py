"""
How pictures look: colours, marks per source, layout; and text of a study in them that stays text.

Colours are after Okabe and Ito, which people of every colour vision tell apart, darkened to 3:1 on white. No colour
stands alone: sources differ in the shape of their marks too. `DARK` has each one's counterpart on a dark page.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sllmbo._optional import require
from sllmbo.prompts.words import number
from sllmbo.space import Categorical
from sllmbo.worth import PARTNERS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

INK, MUTED, GRID, PAPER = "#1b2126", "#59636e", "#dde3e9", "#fffffe"
BLUE, ORANGE, GREEN, PURPLE, AMBER, GREY = "#0072b2", "#c75300", "#007d5e", "#a24b86", "#8f6400", "#6b7580"
RAMP = ("#ccd3da", "#a6bccd", "#6c9cc2", "#337bb0", "#06487c")
"""Five steps from the worst to the best."""

_LIGHT = (INK, MUTED, GRID, PAPER, BLUE, ORANGE, GREEN, PURPLE, AMBER, GREY, *RAMP)
_COUNTERPARTS = (
    *("#e6ebf0", "#a2acb6", "#343c45", "#14191f", "#5bb8ee", "#ff9a57", "#35c99e", "#e7a6cd", "#f0c94c", "#98a3ae"),
    *("#3d4650", "#4b6577", "#5b8db1", "#7fc0ec", "#dcf1ff"),
)
DARK = dict(zip(_LIGHT, _COUNTERPARTS, strict=True))
"""By colour of a light page that of a dark one."""

_MARKS = {
    "default": (INK, "star"),
    "tuned-default": (AMBER, "star-diamond"),
    "llm": (BLUE, "circle"),
    "rules": (GREEN, "hexagon"),
    "user": (PURPLE, "square"),
    "repeat": (GREY, "cross"),
}
_PARTNER = (ORANGE, ("diamond", "diamond-wide", "bowtie"))
_OTHERS = ((BLUE, "pentagon"), (PURPLE, "triangle-up"), (AMBER, "triangle-down"), (GREEN, "hourglass"))

_MARKUP = re.compile(r"<(?!/?(?:br|b|i|extra)>)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LONGEST = 40
_MOST_DECADES = 3


def graph_objects() -> Any:
    """
    Return plotly's module of figures.

    Raises:
        MissingExtra: If plotly is not installed.
    """
    return require("plotly.graph_objects", extra="report", purpose="A plot")


def marks(sources: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the colour and the shape of the mark of each source."""
    found: dict[str, tuple[str, str]] = {}
    partners = others = 0
    for source in sources:
        if source in found:
            continue
        if source in _MARKS:
            found[source] = _MARKS[source]
        elif source in PARTNERS:
            found[source] = (_PARTNER[0], _PARTNER[1][partners % len(_PARTNER[1])])
            partners += 1
        else:
            found[source] = _OTHERS[others % len(_OTHERS)]
            others += 1
    return found


def plain(text: object) -> str:
    """Return *text* of a study on one line, without characters that are not seen."""
    return _CONTROLS.sub("\ufffd", " ".join(str(text).split()))


def label(text: object, limit: int = _LONGEST) -> str:
    """Return *text* of a study as it may stand in a picture: short, cut in its middle, and no markup."""
    text = plain(text)
    half = limit // 2
    return html.escape(text if len(text) <= limit else f"{text[: half - 1]}\u2026{text[-half:]}", quote=False)


def named(values: Iterable[object], limit: int = _LONGEST) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the place of each of *values* by its text, and the axis with their labels, of which two may be equal."""
    places = {text: place for place, text in enumerate(dict.fromkeys(map(str, values)))}
    labels = [label(text, limit) for text in places]
    return places, {"tickvals": list(places.values()), "ticktext": labels, "range": [-0.5, len(places) - 0.5]}


def scale(parameter: Any) -> dict[str, Any]:
    """Return the axis of a number: on a logarithmic scale with few round ticks."""
    if parameter is None or isinstance(parameter, Categorical) or not parameter.log:
        return {}
    first, last = math.floor(math.log10(parameter.low)), math.ceil(math.log10(parameter.high))
    steps: tuple[int, ...] = (1, 2, 5) if last - first <= 1 else (1, 3) if last - first <= _MOST_DECADES else (1,)
    every = max(1, (last - first) // _MOST_DECADES)
    ticks = [step * 10.0**power for power in range(first, last + 1, every) for step in steps]
    ticks = [tick for tick in ticks if parameter.low <= tick <= parameter.high] or [parameter.low, parameter.high]
    return {"type": "log", "tickvals": ticks, "ticktext": [number(tick) for tick in ticks]}


def shown(value: Any) -> str:
    """Return a parameter's value as it may stand in a picture."""
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else label(value)


def hover(params: Mapping[str, Any], *head: str) -> str:
    """Return what is told of a trial under the pointer; *head* is ours or escaped."""
    lines = [f"{label(name)}: {shown(value)}" for name, value in list(params.items())[:12]]
    return "<br>".join([*head, *lines])


def empty(why: str) -> Figure:
    """Return a figure that says why it shows nothing."""
    figure = graph_objects().Figure()
    figure.add_annotation(text=label(why, 120), showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return finished(figure, height=160)


def finished(figure: Figure, *, height: int, x: str = "", y: str = "", legend: bool = False) -> Figure:
    """Return *figure* with the layout that all share, and without markup from outside."""
    axis: dict[str, Any] = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    figure.update_layout(
        template=_bare(),
        title=None,
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={
            "family": "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif",
            "size": 13,
            "color": INK,
        },
        hoverlabel={"bgcolor": PAPER, "bordercolor": MUTED, "font": {"color": INK, "size": 12}, "align": "left"},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    if x:
        figure.update_xaxes(title={"text": x, "font": {"color": MUTED}})
    if y:
        figure.update_yaxes(title={"text": y, "font": {"color": MUTED}})
    return _light(figure)


def _bare() -> Any:
    return graph_objects().layout.Template()


def _light(figure: Figure) -> Figure:
    """
    Return *figure* with numbers of six digits, and no markup but line breaks and emphasis: names are no links.
    """
    return graph_objects().Figure(_cleaned(figure.to_plotly_json()))


def _cleaned(part: Any) -> Any:
    if isinstance(part, str):
        return _MARKUP.sub("&lt;", part) if "<" in part else part
    if isinstance(part, float):
        return float(f"{part:.6g}")
    if isinstance(part, dict):
        return {name: _cleaned(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_cleaned(value) for value in part]
    return part
