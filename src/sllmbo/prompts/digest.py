"""
The digest: what a study has found so far, in few words. Its size does not grow with the study.

Language models lose track of long histories, so the counting is done here: the best, the latest, what failed, and per
parameter where the good trials lie and what was never visited.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sllmbo.history import History, Observation
from sllmbo.prompts import words
from sllmbo.space import Categorical, Parameter, SearchSpace

_N_BEST = 4
_N_LAST = 2
_N_FAILED = 2
_N_PRUNED = 1
_N_RUNNING = 2
_ENOUGH_FOR_REGIONS = 4
_ENOUGH_FOR_TREND = 8
_WORTH_A_WORD = 0.2  # a weaker rank correlation is not told
_EDGE = 0.03  # of the parameter's scale
_GAP = 0.25
_QUANTILES = (0.1, 0.5, 0.9)
_SILENT_DETAILS = ("seconds",)


def digest(space: SearchSpace, history: History, *, n_trials: int | None = None) -> str:
    """
    Return the state of a study in words.

    Args:
        space: The present search space; trials may know other parameters.
        history: All trials.
        n_trials: How many trials the study has in all, if known.
    """
    if not history:
        return "STATE\nNo trial was run yet" + (f"; {n_trials} are planned." if n_trials else ".")
    study = _Study(space, history)
    sections = [study.counts(n_trials), study.trials(), study.unsuccessful(), study.parameters()]
    return "\n\n".join(section for section in sections if section)


class _Study:
    """A history seen through a space."""

    def __init__(self, space: SearchSpace, history: History) -> None:
        self.space = space
        self.history = history
        self.defaults = space.default_params()
        sane = tuple(o for o in history if o.value is None or not math.isnan(o.value))
        self.ranked = History(history.direction, sane).ranked()
        best_texts = [f"{o.value:.4g}" for o in self.ranked[:_N_BEST]]
        self.digits = 4 if len(set(best_texts)) == len({o.value for o in self.ranked[:_N_BEST]}) else 6

    def counts(self, n_trials: int | None) -> str:
        states = Counter(o.state for o in self.history)
        counted = ", ".join(f"{states[s]} {s}" for s in ("complete", "pruned", "failed", "running") if states[s])
        remaining = f"; {max(0, n_trials - len(self.history))} of {n_trials} trials remain" if n_trials else ""
        stale = self.history.since_improvement()
        since = f"; no improvement in the last {stale}" if stale else ""
        return f"STATE\nTrials so far: {counted}{remaining}{since}."

    def trials(self) -> str:
        if not self.ranked:
            return ""
        best = self.ranked[:_N_BEST]
        lines = [f"Best of {len(self.ranked)} (parameters that are not named have their default):"]
        lines += [self._line(o, self._details(o) if o is best[0] else "") for o in best]
        default = next((o for o in self.ranked if self._is_default(o)), None)
        if default is not None and default not in best:
            lines.append(f"The default configuration has rank {self.ranked.index(default) + 1}: {self._head(default)}.")
        last = [o for o in self.history.complete() if o not in best and o != default][-_N_LAST:]
        if last:
            lines += ["Latest others:", *(self._line(o) for o in last)]
        running = [o for o in self.history if o.state == "running"]
        if running:
            lines += ["Running now:", *(self._line(o) for o in running[-_N_RUNNING:])]
        return "\n".join(lines)

    def unsuccessful(self) -> str:
        lines: list[str] = []
        failed = self.history.failures()
        if failed:
            classes = Counter(o.reason.partition(":")[0].strip() or "unknown" for o in failed)
            named = words.some((f"{words.quoted(c, 30)} {n}x" for c, n in classes.most_common()), 4)
            lines.append(f"Failed {len(failed)} ({named}), the latest:")
            lines += [self._line(o, f" because {self._reason(o)}") for o in failed[-_N_FAILED:]]
            lines += self._where_all_fail(failed)
        pruned = [o for o in self.history if o.state == "pruned"]
        if pruned:
            lines.append(f"Pruned early as not promising {len(pruned)}, the latest:")
            lines += [self._line(o) for o in pruned[-_N_PRUNED:]]
        return "\n".join(lines)

    def _where_all_fail(self, failed: Sequence[Observation]) -> list[str]:
        """Say which single parameter tells all failures from all complete trials, if any does."""
        if len(failed) < 2 or len(self.ranked) < 2:
            return []
        for name, parameter in self.space.items():
            if isinstance(parameter, Categorical):
                continue
            bad, fine = _values(name, parameter, failed), _values(name, parameter, self.ranked)
            if len(bad) == len(failed) and fine and (min(bad) > max(fine) or max(bad) < min(fine)):
                return [f"All failures have {words.name(name)} {_span(bad)}, all complete trials {_span(fine)}."]
        return []

    def parameters(self) -> str:
        if len(self.ranked) < _ENOUGH_FOR_REGIONS:
            return ""
        good = self.ranked[: max(2, math.ceil(len(self.ranked) / 4))]
        head = (
            f"PARAMETERS in the best {len(good)} of {len(self.ranked)} trials (10 %, median, 90 % of their values) and "
            "in all (trend: rank correlation, + means that larger values did better)"
        )
        return "\n".join([head, *(self._parameter(name, good) for name in self.space)])

    def _is_default(self, o: Observation) -> bool:
        return o.source == "default" or (self.defaults is not None and dict(o.params) == self.defaults)

    def _head(self, o: Observation) -> str:
        value = "" if o.value is None else f" {o.value:.{self.digits}g}"
        return f"#{o.number}{value}"

    def _line(self, o: Observation, tail: str = "") -> str:
        return f"{self._head(o)}: {self._differences(o.params)}{tail}"

    def _differences(self, params: Mapping[str, Any]) -> str:
        defaults = self.defaults or {}
        shown = [
            f"{words.name(name)} {words.value(params[name])}"
            for name in self.space
            if name in params and not (name in defaults and _same(params[name], defaults[name]))
        ]
        return words.some(shown, 30) if shown else "all default"

    @staticmethod
    def _details(o: Observation) -> str:
        shown = [f"{name} {words.number(v)}" for name, v in o.details.items() if name not in _SILENT_DETAILS]
        return f" [{words.some(shown, 3)}]" if shown else ""

    def _reason(self, o: Observation) -> str:
        """Errors may quote a cell of the data: only names and categories of the space are let through."""
        known = {*self.space, *(str(c) for p in self.space.values() if isinstance(p, Categorical) for c in p.choices)}

        def mask(match: re.Match[str]) -> str:
            return match.group(0) if match.group(2) in known else f"{match.group(1)}...{match.group(1)}"

        return words.quoted(re.sub(r"(['\"])(.*?)\1", mask, o.reason), 80)

    def _parameter(self, name: str, good: Sequence[Observation]) -> str:
        parameter = self.space[name]
        if isinstance(parameter, Categorical):
            described = _categories(parameter, _values(name, parameter, good), _values(name, parameter, self.ranked))
        else:
            described = self._numeric(name, parameter, good)
        return f"{words.name(name)}: {described}"

    def _numeric(self, name: str, parameter: Parameter, good: Sequence[Observation]) -> str:
        best, tried = _values(name, parameter, good), _values(name, parameter, self.ranked)
        visited = _values(name, parameter, self.history.observations)
        if not tried:
            return "never tried"
        trend = self._trend(name, parameter)
        facts = (
            [f"best {', '.join(words.number(float(q)) for q in np.quantile(best, _QUANTILES, method='nearest'))}"]
            if best
            else []
        )
        facts.append(f"tried {_span(tried)}")
        facts += _edges(parameter, best) + _gap(parameter, visited)
        facts += [f"trend {trend:+.2f}"] if abs(trend) >= _WORTH_A_WORD else []
        return "; ".join(facts)

    def _trend(self, name: str, parameter: Parameter) -> float:
        pairs = [
            (float(o.params[name]), -rank)
            for rank, o in enumerate(self.ranked)
            if name in o.params and _is_usable(parameter, o.params[name])
        ]
        if len(pairs) < _ENOUGH_FOR_TREND or len({x for x, _ in pairs}) < 2:
            return 0.0
        return float(np.corrcoef(_ranks([x for x, _ in pairs]), [y for _, y in pairs])[0, 1])


def _same(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) < 1e300


def _is_usable(parameter: Parameter, given: Any) -> bool:
    return parameter.contains(given) if isinstance(parameter, Categorical) else _is_number(given)


def _values(name: str, parameter: Parameter, observations: Sequence[Observation]) -> list[Any]:
    return [o.params[name] for o in observations if name in o.params and _is_usable(parameter, o.params[name])]


def _ranks(values: list[float]) -> list[float]:
    ordered = sorted(values)
    first = {v: i for i, v in reversed(list(enumerate(ordered)))}
    counts = Counter(values)
    return [first[v] + (counts[v] - 1) / 2 for v in values]


def _span(values: list[Any]) -> str:
    low, high = words.number(min(values)), words.number(max(values))
    return low if low == high else f"{low} to {high}"


def _categories(parameter: Categorical, best: list[Any], tried: list[Any]) -> str:
    def count(values: list[Any], choice: Any) -> int:
        return sum(_same(v, choice) for v in values)

    shown = [f"{words.value(c)} {count(best, c)}/{count(tried, c)}" for c in parameter.choices]
    return f"best/tried {words.some(shown, 8)}"


def _edges(parameter: Parameter, best: list[Any]) -> list[str]:
    assert not isinstance(parameter, Categorical)
    positions = [parameter.to_unit(v) for v in best]
    low = sum(position <= _EDGE for position in positions)
    high = sum(position >= 1 - _EDGE for position in positions)
    return [f"{n} of the best at the {edge} edge" for n, edge in ((low, "low"), (high, "high")) if n > 1]


def _gap(parameter: Parameter, visited: list[Any]) -> list[str]:
    """Return the widest stretch without a trial, if it is wide."""
    assert not isinstance(parameter, Categorical)
    inside = sorted({v for v in visited if parameter.low <= v <= parameter.high})
    if not inside or parameter.low == parameter.high:
        return []
    step = parameter.step or 0  # neighbours on the grid leave nothing between them
    stretches = [(parameter.to_unit(b) - parameter.to_unit(a), a, b) for a, b in pairwise(inside) if b - a > step]
    below, above = parameter.to_unit(inside[0]), 1 - parameter.to_unit(inside[-1])
    width, a, b = max([(below, None, inside[0]), (above, inside[-1], None), *stretches], key=lambda gap: gap[0])
    if width < _GAP:
        return []
    if a is None:
        return [f"nothing below {words.number(b)}"]
    return [f"nothing above {words.number(a)}" if b is None else f"nothing from {words.number(a)} to {words.number(b)}"]
