"""
Plots of a study, for notebooks and for the report: each a plotly figure. They need the extra `report`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import Study
from optuna.trial import TrialState

from sllmbo.history import History, Observation
from sllmbo.report._draw import (
    BLUE,
    GREY,
    INK,
    MUTED,
    ORANGE,
    RAMP,
    empty,
    finished,
    graph_objects,
    hover,
    label,
    marks,
    named,
    scale,
    shown,
)
from sllmbo.report._view import View, ended_as, source_of
from sllmbo.samplers._importance import importance
from sllmbo.samplers._record import USAGE, edits_of
from sllmbo.space import Categorical
from sllmbo.usage import Usage

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_NOTHING = "No trial is complete."
_COLUMNS = 3
_BEYOND = 3.0
"""Values further from the best than this many times the median's distance are left out of the first view."""


def plot_history(study: Study, *, objective: int = 0) -> Figure:
    """
    Return the value of each trial by who proposed it, and the best value so far.

    Failed, infeasible and pruned trials are marked at the lower edge. Values far worse than most lie outside; double
    click shows them.

    Args:
        study: Any Optuna study.
        objective: Which objective, where there are several.
    """
    view = View.of(study)
    history = view.history(objective)
    complete = history.complete()
    go = graph_objects()
    if not len(history):
        return empty("There is no trial.")
    figure = go.Figure()
    first = [o for o in complete if o.source != "repeat"]  # a luckier value is no better configuration
    best = list(accumulate((_value(o) for o in first), min if history.direction == "minimize" else max))
    numbers = [view.trials[o.number].number for o in first]
    if best:
        xs, ys = [*numbers, max(trial.number for trial in view.trials)], [*best, best[-1]]
        line = {"shape": "hv", "color": MUTED, "width": 2}
        figure.add_scatter(x=xs, y=ys, mode="lines", name="best so far", line=line, hoverinfo="skip")
    for source, own in _by_source(view, complete):
        figure.add_scatter(**_points(view, source, own, [view.trials[o.number].number for o in own]))
    _add_ended(figure, view, history)
    figure = finished(figure, height=380, x="trial", y=label(view.metrics[objective]), legend=True)
    if complete:
        figure.update_layout(yaxis_range=list(_first_view([_value(o) for o in complete], history)))
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 30], "visible": False, "fixedrange": True})
    return figure


def plot_importances(study: Study) -> Figure:
    """Return how much each parameter matters for being among the best quarter (PED-ANOVA), per objective."""
    view, go = View.of(study), graph_objects()
    figure = go.Figure()
    found = [importance(view.space, view.history(objective)) for objective in range(len(view.metrics))]
    names = [name for shares in found for name in shares]
    names.sort(key=lambda name: sum(shares.get(name, 0.0) for shares in found))
    places, axis = named(names)
    for objective, shares in enumerate(found):
        if shares:
            figure.add_bar(
                y=[places[name] for name in shares],
                x=list(shares.values()),
                text=[f"{share:.0%}" for share in shares.values()],
                textposition="outside",
                cliponaxis=False,
                orientation="h",
                name=label(view.metrics[objective]),
                marker={"color": (BLUE, ORANGE, GREY)[objective % 3]},
                hoverinfo="skip",
            )
    if not places:
        return empty("Importances need 20 complete trials, and values and parameters that differ.")
    figure = finished(figure, height=70 + 30 * len(places) * len(figure.data), legend=len(figure.data) > 1)
    figure.update_yaxes(axis)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.12 * max(max(bar.x) for bar in figure.data)])
    return figure


def plot_slices(study: Study, params: Sequence[str] | None = None, *, objective: int = 0) -> Figure:
    """
    Return each parameter against the value, one panel each, by who proposed the trial.

    Args:
        study: Any Optuna study.
        params: Which parameters; None for all.
        objective: Which objective, where there are several.
    """
    from plotly.subplots import make_subplots

    view = View.of(study)
    history = view.history(objective)
    complete = history.complete()
    names = list(view.space) if params is None else list(params)
    if not complete or not names:
        return empty(_NOTHING)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows=rows, cols=columns, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=0.3 / rows
    )
    for place, name in enumerate(names):
        row, column = place // columns + 1, place % columns + 1
        parameter = view.space.get(name)
        having = [o for o in complete if name in o.params]
        is_text = parameter is None or isinstance(parameter, Categorical)
        choices = parameter.choices if isinstance(parameter, Categorical) else ()
        places, axis = named([*choices, *(o.params[name] for o in having)], 20) if is_text else ({}, scale(parameter))
        if is_text:  # two lines are half as wide
            axis["ticktext"] = [text.replace("\u2026", "\u2026<br>") for text in axis["ticktext"]]
        for source, own in _by_source(view, having):
            xs = [places[str(o.params[name])] if is_text else o.params[name] for o in own]
            trace = _points(view, source, own, xs, size=6)
            trace |= {"text": [f"trial {view.trials[o.number].number}" for o in own], "hoverinfo": "x+y+text"}
            figure.add_scatter(**trace, showlegend=False, row=row, col=column)
        title = {"text": label(name), "standoff": 4, "font": {"size": 13 if len(name) <= 30 else 11}}
        figure.update_xaxes(title=title, **axis, row=row, col=column)
    figure.update_yaxes(range=list(_first_view([_value(o) for o in complete], history)))
    figure.update_yaxes(title_text=label(view.metrics[objective]), col=1)
    return finished(figure, height=250 * rows + 20)


def plot_parallel(study: Study, *, objective: int = 0) -> Figure:
    """
    Return each complete trial as a line through its parameters, in five steps from the worst fifth to the best.

    Each axis runs from the lower to the upper end of its range, on the parameter's scale.
    """
    view, go = View.of(study), graph_objects()
    history = view.history(objective)
    names = [name for name, p in view.space.items() if not isinstance(p, Categorical) or len(p.choices) > 1]
    ranked = list(reversed(history.ranked()))  # the best are drawn last
    if not ranked or not names:
        return empty(_NOTHING)
    figure, n = go.Figure(), min(len(RAMP), len(ranked))
    for step in range(n):
        part = ranked[step * len(ranked) // n : (step + 1) * len(ranked) // n]
        ys = [y for o in part for y in (*(_place(view, name, o) for name in names), None)]
        figure.add_scatter(
            x=[*range(len(names)), None] * len(part),
            y=ys,
            mode="lines",
            name=f"{('worst', '2nd', 'middle', '4th', 'best')[step]} fifth",
            line={"color": RAMP[len(RAMP) - n + step], "width": 1 + 0.35 * step},
            opacity=0.75,
            hoverinfo="skip",
            showlegend=n == len(RAMP) and step % 2 == 0,
        )
    figure = finished(figure, height=380, legend=True)
    figure.update_xaxes(
        tickvals=list(range(len(names))),
        ticktext=[label(name, 20) for name in names],
        tickfont={"size": 11},
        range=[-0.3, len(names) - 0.7],
    )
    figure.update_yaxes(visible=False, range=[-0.1, 1.1])
    for place, name in enumerate(names):
        low, high = _ends(view, name)
        for y, text, anchor in ((-0.02, low, "top"), (1.02, high, "bottom")):
            font = {"size": 11, "color": MUTED}
            figure.add_annotation(x=place, y=y, text=text, showarrow=False, yanchor=anchor, font=font)
    return figure


def plot_pareto(study: Study) -> Figure:
    """
    Return the trials in the space of two or three objectives: the Pareto front, dominated and infeasible trials.

    Optuna's own plot, with marks that differ in shape.
    """
    view = View.of(study)
    n = len(view.directions)
    complete = [trial for trial in view.finished if trial.state == TrialState.COMPLETE]
    if n not in (2, 3):
        return empty(f"A Pareto front is drawn of two or three objectives; the study has {n}.")
    if not complete:
        return empty(_NOTHING)
    from optuna.visualization import plot_pareto_front

    figure = plot_pareto_front(study, target_names=[label(metric) for metric in view.metrics])
    styles = {"Infeasible": (GREY, "x"), "Best": (BLUE, "diamond")}
    names = {"Infeasible": "infeasible", "Best": "Pareto front"}
    for trace in figure.data:
        kind = next((kind for kind in styles if f"<extra>{kind}" in str(trace.hovertemplate)), "")
        colour, symbol = styles.get(kind, (ORANGE, "circle"))
        trace.marker = {"color": colour, "symbol": symbol, "size": 9 if n == 2 else 4, "line": {"width": 0}}
        trace.name, trace.showlegend = names.get(kind, "dominated"), True
    return finished(figure, height=420, legend=True)


def plot_edits(study: Study) -> Figure:
    """Return, for each parameter whose range was edited, the range in force by trial and the values tried."""
    from plotly.subplots import make_subplots

    view = View.of(study)
    edited: dict[str, list[tuple[int, Any]]] = {}
    for trial in view.trials:
        for edit in edits_of(trial.user_attrs):
            edited.setdefault(edit.parameter, []).append((trial.number, edit))
    if not edited:
        return empty("The search space was not edited.")
    figure = make_subplots(rows=len(edited), cols=1, shared_xaxes=True, vertical_spacing=0.3 / len(edited) / 3)
    last = max(trial.number for trial in view.trials)
    for row, (name, edits) in enumerate(edited.items(), start=1):
        xs = [0, *(n for n, _ in edits), last]
        lows = [edits[0][1].old_low, *(edit.low for _, edit in edits)]
        highs = [edits[0][1].old_high, *(edit.high for _, edit in edits)]
        edge = {"shape": "hv", "color": BLUE, "width": 2}
        common: dict[str, Any] = {"x": xs, "mode": "lines", "line": edge, "hoverinfo": "skip", "row": row, "col": 1}
        figure.add_scatter(y=[*lows, lows[-1]], **common)
        figure.add_scatter(y=[*highs, highs[-1]], fill="tonexty", fillcolor="rgba(80,150,200,0.15)", **common)
        tried = [trial for trial in view.trials if name in trial.params]
        figure.add_scatter(
            x=[trial.number for trial in tried],
            y=[trial.params[name] for trial in tried],
            mode="markers",
            marker={"color": MUTED, "size": 5},
            hoverinfo="x+y",
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text=label(name), **scale(view.space.get(name)), row=row, col=1)
    figure.update_xaxes(title_text="trial", row=len(edited), col=1)
    figure.update_layout(showlegend=False)
    return finished(figure, height=60 + 190 * len(edited))


def plot_failures(study: Study) -> Figure:
    """Return which trials failed, by the class of the error; infeasible ones are a class too."""
    view, go = View.of(study), graph_objects()
    failed = view.history().failures()
    if not failed:
        return empty("No trial failed.")
    figure = go.Figure()
    numbers = [view.trials[o.number].number for o in failed]
    classes = [o.reason.partition(":")[0] or "no reason recorded" for o in failed]
    places, axis = named(classes)
    figure.add_scatter(
        x=numbers,
        y=[places[what] for what in classes],
        mode="markers",
        marker={"color": ORANGE, "symbol": "x", "size": 9},
        text=[hover(o.params, f"trial {n}", label(o.reason, 100)) for n, o in zip(numbers, failed, strict=True)],
        hoverinfo="text",
    )
    figure = finished(figure, height=90 + 34 * len(places), x="trial")
    figure.update_yaxes(axis)
    figure.update_xaxes(range=[-0.5, max(trial.number for trial in view.trials) + 0.5])
    return figure


def plot_spending(study: Study) -> Figure:
    """Return the tokens that the answers behind the trials have taken, summed by trial; dollars where known."""
    view, go = View.of(study), graph_objects()
    every = [(trial.number, Usage.from_json(trial.user_attrs.get(USAGE) or {})) for trial in view.trials]
    told = [(n, usage) for n, usage in every if usage.calls]
    if not told:
        return empty("No trial has cost a question to a chat model.")
    sums = list(accumulate(usage for _, usage in told))
    figure = go.Figure()
    figure.add_scatter(
        x=[n for n, _ in told],
        y=[total.tokens for total in sums],
        mode="lines+markers",
        line={"shape": "hv", "color": BLUE, "width": 2},
        marker={"size": 5},
        text=[_spent(n, total) for (n, _), total in zip(told, sums, strict=True)],
        hoverinfo="text",
    )
    figure = finished(figure, height=260, x="trial", y="tokens, summed")
    figure.update_yaxes(rangemode="tozero")
    return figure


def _spent(trial: int, total: Usage) -> str:
    cost = f"<br>{total.cost_usd:.4f} USD" if total.cost_usd is not None else ""
    return f"up to trial {trial}<br>{total.calls} calls, {total.tokens} tokens{cost}"


def _value(observation: Observation) -> float:
    assert observation.value is not None
    return observation.value


def _by_source(view: View, observations: Sequence[Observation]) -> list[tuple[str, list[Observation]]]:
    found: dict[str, list[Observation]] = {}
    for o in observations:
        found.setdefault(source_of(view.trials[o.number]), []).append(o)
    return list(found.items())


def _points(view: View, source: str, own: Sequence[Observation], xs: Sequence[Any], *, size: int = 8) -> dict[str, Any]:
    colour, symbol = marks(source_of(trial) for trial in view.trials)[source]
    return {
        "x": list(xs),
        "y": [_value(o) for o in own],
        "mode": "markers",
        "name": label(source),
        "marker": {"color": colour, "symbol": symbol, "size": size + 3 * (source == "default"), "opacity": 0.85},
        "text": [
            hover(o.params, f"trial {view.trials[o.number].number}, {label(source)}", f"<b>{shown(o.value)}</b>")
            for o in own
        ],
        "hoverinfo": "text",
    }


def _add_ended(figure: Figure, view: View, history: History) -> None:
    """Mark at the lower edge the trials that have no value to show."""
    for name, colour, symbol in (
        ("failed", ORANGE, "x-thin"),
        ("infeasible", GREY, "x-thin"),
        ("pruned", INK, "line-ns"),
    ):
        ended = [o for o in history if ended_as(view.trials[o.number], o) == name]
        if ended:
            numbers = [view.trials[o.number].number for o in ended]
            figure.add_scatter(
                x=numbers,
                y=[1] * len(ended),
                yaxis="y2",
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 8, "color": colour, "line": {"color": colour, "width": 2}},
                text=[f"trial {n} {name}<br>{label(o.reason, 100)}" for n, o in zip(numbers, ended, strict=True)],
                hoverinfo="text",
            )


def _first_view(values: Sequence[float], history: History) -> tuple[float, float]:
    """Return the range of values that is shown first: all, but for those far worse than most."""
    sign = 1.0 if history.direction == "minimize" else -1.0
    costs = np.sort(sign * np.asarray(values, dtype=float))
    best, middle, worst = costs[0], float(np.median(costs)), costs[-1]
    limit = best + _BEYOND * (middle - best)
    worst = worst if worst <= limit or middle == best else max(limit, float(np.quantile(costs, 0.8, method="lower")))
    pad = 0.08 * (worst - best) or 0.05 * abs(best) or 1.0
    ends = float(sign * (best - pad)), float(sign * (worst + pad))
    return min(ends), max(ends)


def _place(view: View, name: str, observation: Observation) -> float | None:
    parameter = view.space[name]
    try:
        place = float(parameter.to_unit(observation.params[name]))
    except (KeyError, TypeError, ValueError, StopIteration):
        return None
    return min(max(place, 0.0), 1.0) if math.isfinite(place) else None


def _ends(view: View, name: str) -> tuple[str, str]:
    parameter = view.space[name]
    if isinstance(parameter, Categorical):
        return shown(parameter.choices[0]), shown(parameter.choices[-1])
    return shown(parameter.low), shown(parameter.high)
