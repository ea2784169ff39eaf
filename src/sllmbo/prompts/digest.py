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

from sllmbo.choosing import noise
from sllmbo.history import History, Observation
from sllmbo.prompts import words
from sllmbo.prompts.refused import refused
from sllmbo.prompts.regions import regions
from sllmbo.prompts.standing import Standing, standing
from sllmbo.prompts.table import author, trial_table
from sllmbo.space import SearchSpace
from sllmbo.space.branches import branches
from sllmbo.worth import NEITHER, improvements, percentiles

_ENOUGH_TO_STAGNATE = 8
_N_KINDS = 3
_N_SOURCES = 4
_FIRST_ROWS = 8
_MOST_REFUSED = 3
_FIRST_SHARE = 0.6
"""What the first rows may take of the room, for more than one row of what was turned down."""
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
        limit: Tokens to keep within: first come the rows of eight trials, then the parameters, the most important
            first, then further rows.
        importance: How much each parameter matters, if that is known.
        only_trials: Whether to leave out what the trials come to: who has earned what, and the parameters.
    """
    if not history:
        return "STATE\nNo trial was run yet" + (f"; {n_trials} are planned." if n_trials else ".")
    study = standing(space, history)
    state, curves, failures = _state(study, n_trials), _curves(study), _unsuccessful(study)
    if only_trials:
        room = limit - sum(words.tokens(part) + 1 for part in (state, curves, failures))
        return "\n\n".join(filter(None, (state, trial_table(study, room), curves, failures)))
    known = (state, _values(study), _earned(history), _last_advice(study))
    for most in range(_MOST_REFUSED, 0, -1):
        turned_down, rows = refused(study, most)
        state = "\n".join(filter(None, (*known, turned_down)))
        room = limit - sum(words.tokens(part) + 1 for part in (state, curves, failures))
        first = words.tokens(trial_table(study, 0, at_least=_FIRST_ROWS, refused=rows))
        if first <= _FIRST_SHARE * room:
            break
    told = regions(study, importance, room - first)
    table = trial_table(study, room - words.tokens(told) - 1, refused=rows)
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
    places = percentiles(history)
    steps = history.improved if history.improved is not None else improvements(history).keys()
    told = []
    for source in dict.fromkeys(o.source for o, _ in places if o.source not in NEITHER):
        own = {o.number: place for o, place in places if o.source == source}
        mean = 100 * statistics.fmean(own.values())
        told.append(f"{author(source)} {len(own.keys() & steps)} of {len(own)} ({mean:.0f})")
    return f"New bests of trials (mean percentile, 100 best): {words.some(told, _N_SOURCES)}." if told else ""


def _values(study: Standing) -> str:
    """Return by which values a trial is good, and how far two of one configuration lie apart, if that is known."""
    if len(study.ranked) < 2:
        return ""
    best, middle = study.ranked[0], study.ranked[len(study.ranked) // 2]
    told = [f"best {study.value(best.value or 0.0)} (#{best.number})", f"median {study.value(middle.value or 0.0)}"]
    told += [f"default {study.value(o.value or 0.0)} (#{o.number})" for o in study.ranked if o.source == "default"][:1]
    known = None if branches(study.space) else noise(study.history)  # of several estimators not all parameters are told
    again = ""
    if known is not None:
        apart = f"differs by about {words.number(known, 2)}" if known else "gives nearly the same value"
        again = f" The same configuration again {apart}."
    return f"Values: {', '.join(told)}.{again}"


def _last_advice(study: Standing) -> str:
    """Return what became of the advisor's latest trial, also where its row is left out."""
    own = [o for o in study.history if author(o.source) == "you"]
    if not own:
        return ""
    last, ranks = own[-1], {o.number: rank for rank, o in enumerate(study.ranked, start=1)}
    told: str = last.state
    if last.number in ranks:
        told = f"{study.value(last.value or 0.0)}, rank {ranks[last.number]} of {len(ranks)}"
    return f"Your last: #{last.number}, {told}."


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
    lines = [_kinds(failed)] if failed else []
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
