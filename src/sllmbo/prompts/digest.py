"""
The digest: what a study has found so far, in few words. Its size does not grow with the study.

Language models lose track of long histories, so the counting is done here: who leads, who has earned what, what failed,
how the values of some came about, the trials themselves as one table, and the study as its classical optimiser sees it,
parameter by parameter.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sllmbo.history import History, Observation
from sllmbo.prompts import words
from sllmbo.prompts.regions import regions, span
from sllmbo.prompts.standing import Standing, standing
from sllmbo.prompts.table import author, trial_table
from sllmbo.space import Categorical, SearchSpace
from sllmbo.worth import NEITHER, improvements, percentiles

_ENOUGH_TO_STAGNATE = 8
_N_KINDS = 3
_N_SOURCES = 4
_N_NUMBERS = 4
_N_COLLAPSED = 2
_MAX_REASON = 80
_N_CURVES = 3
_N_PRUNED = 2
_CURVE_DIGITS = 3


def digest(
    space: SearchSpace,
    history: History,
    *,
    n_trials: int | None,
    limit: int,
    importance: Mapping[str, float] = MappingProxyType({}),
    only_trials: bool = False,
) -> str:
    """
    Return the state of a study in words.

    Args:
        space: The present search space; trials may know other parameters.
        history: All trials.
        n_trials: How many trials the study has in all, if known.
        limit: Tokens to keep within: the table of trials has as many rows as that leaves it, and where it leaves the
            fewest, the last parameters go untold.
        importance: How much each parameter matters, if that is known.
        only_trials: Whether to leave out what the trials come to: who has earned what, and the parameters.
    """
    if not history:
        return "STATE\nNo trial was run yet" + (f"; {n_trials} are planned." if n_trials else ".")
    study = standing(space, history)
    state, curves, failures = _state(study, n_trials), _curves(study), _unsuccessful(study)
    if not only_trials:
        state = "\n".join(filter(None, (state, _earned(history), _last_advice(study))))
    room = limit - sum(words.tokens(part) + 1 for part in (state, curves, failures))
    told = "" if only_trials else regions(study, importance, room - words.tokens(trial_table(study, 0)))
    table = trial_table(study, room - words.tokens(told) - 1)
    return "\n\n".join(part for part in (state, table, curves, failures, told) if part)


def remaining(history: History, n_trials: int | None) -> int | None:
    """Return how many trials a study has left, if it is known how many it has."""
    return None if n_trials is None else max(0, n_trials - len(history))


def _state(study: Standing, n_trials: int | None) -> str:
    history = study.history
    states = Counter(o.state for o in history)
    counted = ", ".join(f"{states[s]} {s}" for s in ("complete", "pruned", "failed", "running") if states[s])
    left = f"; {remaining(history, n_trials)} of {n_trials} trials remain" if n_trials else ""
    stale = history.since_improvement() if len(study.ranked) >= _ENOUGH_TO_STAGNATE else 0
    since = f"; no improvement in the last {stale}" if stale else ""
    return f"STATE\nTrials so far: {counted}{left}{since}."


def _earned(history: History) -> str:
    """Return what each side has earned; what was known or asked for beforehand is neither."""
    steps, places = improvements(history), percentiles(history)
    told = []
    for source in dict.fromkeys(o.source for o, _ in places if o.source not in NEITHER):
        own = {o.number: place for o, place in places if o.source == source}
        mean = 100 * statistics.fmean(own.values())
        told.append(f"{author(source)} {len(own.keys() & steps.keys())} of {len(own)} ({mean:.0f})")
    return f"New bests of trials (mean percentile, 100 best): {words.some(told, _N_SOURCES)}." if told else ""


def _last_advice(study: Standing) -> str:
    """Return what became of the advisor's latest trial, whose row may be left out."""
    own = [o for o in study.history if author(o.source) == "you"]
    if not own:
        return ""
    ranks = {o.number: rank for rank, o in enumerate(study.ranked, start=1)}
    last = own[-1]
    if last.number not in ranks:
        return f"Your last: #{last.number}, {last.state}."
    return f"Your last: #{last.number}, {study.value(last.value or 0.0)}, rank {ranks[last.number]} of {len(ranks)}."


def _curves(study: Standing) -> str:
    """Return how the values of the leaders, and of the latest pruned trials, came about: some points of each."""
    pruned = [o for o in reversed(study.history) if o.state == "pruned"]
    lines = []
    for o in [*[o for o in study.ranked if o.curve[1:]][:_N_CURVES], *[o for o in pruned if o.curve[1:]][:_N_PRUNED]]:
        last = len(o.curve) - 1
        points = [o.curve[at] for at in sorted({0, last // 4, last // 2, last})]
        told = " ".join(f"{words.number(float(value), _CURVE_DIGITS)}@{step}" for step, value in points)
        lines.append(f"#{o.number}{' pruned' if o.state == 'pruned' else ''}: {told}")
    return "\n".join(["CURVES (value@step while it ran)", *lines]) if lines else ""


def _unsuccessful(study: Standing) -> str:
    failed = study.history.failures()
    lines = [_kinds(failed), *_where_all_fail(study, failed)] if failed else []
    if study.collapsed:
        named = words.some((f"#{o.number} {study.value(o.value or 0.0)}" for o in study.collapsed), _N_COLLAPSED)
        lines.append(f"Collapsed (complete, but far worse than the others): {named}.")
    return "\n".join(["FAILURES", *lines]) if lines else ""


def _kinds(failed: Sequence[Observation]) -> str:
    """Return the failures by class, each with its latest reason and some trials."""
    kinds: dict[str, list[Observation]] = {}
    for o in reversed(failed):
        kinds.setdefault(o.reason.partition(":")[0].strip(), []).append(o)
    told = [
        f"{words.quoted(same[0].reason or 'unknown', _MAX_REASON)} {len(same)}x "
        f"(latest {', '.join(f'#{o.number}' for o in same[:_N_NUMBERS])})"
        for same in sorted(kinds.values(), key=len, reverse=True)
    ]
    return f"Failed {len(failed)}: {words.some(told, _N_KINDS)}."


def _where_all_fail(study: Standing, failed: Sequence[Observation]) -> list[str]:
    """Say which single parameter tells all failures from all complete trials, if any does."""
    if len(failed) < 2 or len(study.ranked) < 2:
        return []
    for name, parameter in study.space.items():
        if isinstance(parameter, Categorical):
            continue
        bad, fine = study.values(name, failed), study.values(name, study.ranked)
        if len(bad) == len(failed) and fine and (min(bad) > max(fine) or max(bad) < min(fine)):
            return [f"All failures have {words.name(name)} {span(bad)}, all complete trials {span(fine)}."]
    return []
