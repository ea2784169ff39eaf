"""
The pictures of a benchmark: regret against trials, and mean ranks.

Colours are those of Okabe and Ito, which people of every colour vision tell apart; lines differ in their dashes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sllmbo._optional import require
from sllmbo.benchmarks import statistics
from sllmbo.benchmarks.results import Array, Results

ANYTIME, PER_PROBLEM, RANKS = "anytime.png", "anytime-problems.png", "ranks.png"

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_DASHES = ("-", "--", "-.", ":")
_FLOOR = 1e-3
"""Regrets below are drawn here: the scale is logarithmic."""
_TOP = 1.5
"""The first random trials may lie far above; what matters is below."""
_RESAMPLES = 1000
_MOST_BANDS, _MOST_BANDS_OF_PROBLEM = 6, 4
"""With more lines, intervals hide one another and are left to the tables."""


def draw(folder: Path, results: Results, *, baseline: str) -> tuple[str, ...]:
    """Write the pictures into *folder*, and return the names of their files."""
    styles = _styles(results.arms, baseline)
    _anytime(folder / ANYTIME, results, styles)
    drawn = [ANYTIME]
    if len(results.problems) > 1:
        _per_problem(folder / PER_PROBLEM, results, styles)
        drawn.append(PER_PROBLEM)
        if len(results.arms) > 1:
            _ranks(folder / RANKS, results)
            drawn.append(RANKS)
    for name in {PER_PROBLEM, RANKS} - set(drawn):  # of what the folder held before
        (folder / name).unlink(missing_ok=True)
    return tuple(drawn)


def _styles(arms: Sequence[str], baseline: str) -> dict[str, dict[str, Any]]:
    """Return colour and dashes of each arm; the baseline is black."""
    styles: dict[str, dict[str, Any]] = {baseline: {"color": "black", "linestyle": "-", "linewidth": 2.0}}
    for index, arm in enumerate(arm for arm in arms if arm != baseline):
        colour, dashes = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]  # 28 pairs
        styles[arm] = {"color": colour, "linestyle": dashes, "linewidth": 1.8}
    return styles


def _figure(width: float, height: float) -> Any:
    return _of_matplotlib("figure").Figure(figsize=(width, height), dpi=150, layout="constrained")


def _of_matplotlib(module: str) -> Any:
    return require(f"matplotlib.{module}", extra="bench", purpose="The pictures of a benchmark")


def _plain_where_sparse() -> Any:
    """Return a formatter that names ticks between powers of ten where these are few: as 0.3, not as 3e-1."""
    ticker = _of_matplotlib("ticker")

    class Plain(ticker.LogFormatter):  # type: ignore[misc, name-defined]  # an extra
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    return Plain()


def _axes_of_regret(axes: Any, trials: int) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(_plain_where_sparse())
    axes.set_ylim(top=min(axes.get_ylim()[1], _TOP))
    axes.set_xlim(1, max(trials, 2))
    axes.grid(visible=True, which="major", color="0.88", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _anytime(path: Path, results: Results, styles: dict[str, dict[str, Any]]) -> None:
    figure = _figure(11.0, 4.8)
    left, right = figure.subplots(1, 2, sharey=True)
    weights = None
    if len(results.seeds) > 1 and len(results.arms) <= _MOST_BANDS:
        weights = statistics.stratified_weights(len(results.problems), len(results.seeds), resamples=_RESAMPLES)
    for axes, measure, title in (
        (left, "regret", "Best configuration evaluated so far"),
        (right, "chosen_regret", "Configuration chosen so far"),
    ):
        for arm, regrets in zip(results.arms, results.regrets[measure], strict=True):
            _line(axes, arm, regrets, styles[arm], weights)
        _axes_of_regret(axes, results.trials)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("trials")
    left.set_ylabel("true regret (0 best, 1 median)")
    left.tick_params(which="both", labelleft=True)
    figure.suptitle(_title(results, banded=weights is not None), fontsize=12)
    _legend(figure, left)
    figure.savefig(path)


def _line(axes: Any, arm: str, regrets: Array, style: dict[str, Any], weights: Array | None) -> None:
    """Draw the mean of *regrets*, problem x seed x trial, with its interval."""
    trials = np.arange(1, regrets.shape[-1] + 1)
    axes.plot(trials, np.maximum(regrets.mean(axis=(0, 1)), _FLOOR), label=arm, **style)
    if weights is not None:
        means = weights @ regrets.reshape(-1, regrets.shape[-1])
        low, high = np.maximum(np.percentile(means, [2.5, 97.5], axis=0), _FLOOR)
        axes.fill_between(trials, low, high, color=style["color"], alpha=0.12, linewidth=0)


def _title(results: Results, *, banded: bool) -> str:
    n_problems, n_seeds = len(results.problems), len(results.seeds)
    problems = results.problems[0] if n_problems == 1 else f"{n_problems} problems"
    band = ", 95 % intervals" if banded else ""
    return f"{results.suite}: mean over {problems}, {n_seeds} seed{'s' * (n_seeds > 1)}{band}"


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    letters = 12 * figure.get_size_inches()[0]
    columns = max(1, min(len(labels), 5, int(letters / (max(map(len, labels)) + 9))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2)


def _per_problem(path: Path, results: Results, styles: dict[str, dict[str, Any]]) -> None:
    n_problems = len(results.problems)
    columns = min(4, n_problems)
    rows = -(-n_problems // columns)
    figure = _figure(3.1 * columns, 2.5 * rows + 0.8)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    weights = None
    if len(results.seeds) > 1 and len(results.arms) <= _MOST_BANDS_OF_PROBLEM:
        weights = statistics.stratified_weights(1, len(results.seeds), resamples=_RESAMPLES)
    for index, axes in enumerate(panels):
        if index >= n_problems:
            axes.set_visible(False)
            continue
        for arm, regrets in zip(results.arms, results.regrets["regret"], strict=True):
            _line(axes, arm, regrets[index : index + 1], styles[arm], weights)
        _axes_of_regret(axes, results.trials)
        nothing = bool(results.regrets["regret"][:, index].max() <= _FLOOR)
        axes.set_title(results.problems[index] + nothing * f" (below {_FLOOR:g})", fontsize=10)
        axes.tick_params(which="both", labelsize=8)
        if index + columns >= n_problems:
            axes.set_xlabel("trials", fontsize=9)
    figure.supylabel("true regret of the best evaluated", fontsize=10)
    _legend(figure, panels[0])
    figure.savefig(path)


def _ranks(path: Path, results: Results) -> None:
    """Draw the mean ranks after the last trial; a bar joins those that Nemenyi's test does not tell apart."""
    ranks = statistics.mean_ranks(results.regrets["regret"][..., -1].mean(axis=2))
    n_arms, distance = len(ranks), statistics.critical_difference(len(ranks), len(results.problems))
    order = np.argsort(ranks, kind="stable")
    groups = groups_of(ranks[order], distance)
    bars = 0.28 * (len(groups) + 1)
    half = (n_arms + 1) // 2
    lowest = -bars - 0.45 * half - 0.1
    figure = _figure(9.0, 0.6 + 0.55 * (0.7 - lowest))
    axes = figure.subplots()
    axes.hlines(0, 1, n_arms, color="black", linewidth=1)
    for tick in range(1, n_arms + 1):
        axes.vlines(tick, 0, 0.12, color="black", linewidth=1)
        axes.text(tick, 0.2, str(tick), ha="center", va="bottom", fontsize=9)
    for bar, (first, last) in enumerate(groups):
        low, high = ranks[order[first]] - 0.03, ranks[order[last]] + 0.03
        axes.hlines(-0.28 * (bar + 1), low, high, color="0.25", linewidth=4)
    for place, arm in enumerate(order):
        on_left = place < half
        depth = -bars - 0.45 * (place if on_left else n_arms - 1 - place) - 0.25
        edge = 0.9 if on_left else n_arms + 0.1
        axes.plot([ranks[arm], ranks[arm], edge], [0, depth, depth], color="0.45", linewidth=0.9)
        label = f"{results.arms[arm]}  {ranks[arm]:.2f}" if on_left else f"{ranks[arm]:.2f}  {results.arms[arm]}"
        axes.text(edge, depth, f" {label} ", ha="right" if on_left else "left", va="center", fontsize=10)
    axes.set_title(
        f"{results.suite}: mean rank over {len(results.problems)} problems after {results.trials} trials, 1 is best\n"
        f"(a bar joins what is within the critical difference, {distance:.2f})",
        fontsize=10,
        pad=12,
    )
    axes.set_ylim(lowest, 0.7)
    margin = 0.45 * (n_arms - 1)
    axes.set_xlim(1 - margin, n_arms + margin)
    axes.set_axis_off()
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def groups_of(ranks: Sequence[float] | Array, distance: float) -> list[tuple[int, int]]:
    """
    Return the largest runs of sorted *ranks* that are within *distance*, by first and last place.

    Example:
        >>> groups_of([1.0, 1.5, 2.2, 4.0], 1.0)
        [(0, 1), (1, 2)]
    """
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank <= distance)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
