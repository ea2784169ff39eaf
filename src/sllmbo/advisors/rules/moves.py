"""
What to try next: one small function per rule, from the trials to proposals.

To add a rule, write a function of the view and a generator that yields proposals, and put it into `RULES`. A rule says
what is worth a trial and names the trials that it rests on; which proposal goes first is decided elsewhere.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from sllmbo.advisors.rules.meaning import complexity, is_size, rate_and_rounds
from sllmbo.advisors.rules.opening import filling
from sllmbo.advisors.rules.outlook import nearest
from sllmbo.advisors.rules.proposal import Proposal
from sllmbo.advisors.rules.view import Trial, View, completed, position, show, unit
from sllmbo.space import Categorical, Int, Parameter, Scalar

Rule: TypeAlias = Callable[[View, np.random.Generator], Iterator[Proposal]]

_BOUND = 0.1
"""How near to the end of its range a value counts as at the bound."""


def step_size(view: View) -> float:
    """Return how far a step goes, as a share of a range: less with every complete trial."""
    return max(0.08, 0.3 * 0.95 ** len(view.ranked))


def one_at_a_time(view: View, _rng: np.random.Generator) -> Iterator[Proposal]:
    """Step from the incumbent along one parameter, either way; try each other category."""
    best = view.ranked[0]
    for name in best.params:
        for value in _neighbours(view.space[name], best.params[name], step_size(view)):
            text = f"{_incumbent(best)}; move {name} from {show(best.params[name])} to {show(value)} alone."
            text += _support(view, name, best.params[name], value)
            yield Proposal("one step", _changed(view, best, {name: value}), text)


def beyond_the_bound(view: View, rng: np.random.Generator) -> Iterator[Proposal]:
    """The incumbent near an end of a range: go to the end, or, if there, keep it and move the others."""
    best = view.ranked[0]
    for name, value in best.params.items():
        parameter = view.space[name]
        if isinstance(parameter, Categorical) or parameter.low == parameter.high:
            continue
        place = unit(parameter, value)
        end = 0.0 if place < 0.5 else 1.0
        bound = parameter.from_unit(end)
        if abs(place - end) > _BOUND:
            continue
        if value != bound:
            text = f"{_incumbent(best)} and has {name}={show(value)} close to the bound {show(bound)}; go there."
            yield Proposal("towards the bound", _changed(view, best, {name: bound}), text, weight=1.2)
            continue
        for other in _perturbed(view, best, rng, 2, keep=name):
            text = f"{_incumbent(best)} with {name} at its bound {show(bound)}; keep that and move the others."
            yield Proposal("at the bound", other, text)


def rate_for_rounds(view: View, _rng: np.random.Generator) -> Iterator[Proposal]:
    """Halve the learning rate and double the rounds, or the other way round (Friedman 2001, section 5)."""
    names = rate_and_rounds(view.space)
    best = view.ranked[0]
    if names is None or not all(name in best.params for name in names):
        return
    rate, rounds = names
    for factor, verb in ((0.5, "finer steps and more of them generalise better"), (2.0, "fewer, larger steps may do")):
        params = _changed(
            view, best, {rate: _times(best.params[rate], factor), rounds: _times(best.params[rounds], 1 / factor)}
        )
        text = f"{_incumbent(best)}; {rate}={show(params[rate])} with {rounds}={show(params[rounds])}, as {verb}."
        yield Proposal("rate for rounds", params, text, weight=1.2 if factor < 1 else 1.0)


def fit_of_the_incumbent(view: View, _rng: np.random.Generator) -> Iterator[Proposal]:
    """Compare how far training and validation values lie apart: regularise if far, fit closer if near."""
    gaps = {trial.number: gap for trial in view.ranked if (gap := _gap(view, trial)) is not None}
    best = view.ranked[0]
    if best.number not in gaps or len(gaps) < 3:
        return
    usual = statistics.median(gaps.values())
    if abs(gaps[best.number] - usual) <= 0.1 * abs(usual):
        return
    closer = gaps[best.number] < usual
    numeric = {name: sign for name in best.params if (sign := complexity(name, view.space))}
    step = step_size(view) * (1 if closer else -1)
    changes = {name: _shifted(view.space[name], best.params[name], step * sign) for name, sign in numeric.items()}
    said = "less than usual, so it may fit closer" if closer else "more than usual, so it is regularised"
    for names in ([name] for name in numeric) if len(numeric) < 2 else itertools.combinations(numeric, 2):
        chosen = {name: changes[name] for name in names}
        moved = " and ".join(f"{name} to {show(value)}" for name, value in chosen.items())
        text = f"{_incumbent(best)}; its training value is ahead by {gaps[best.number]:.3g}, {said}: {moved}."
        yield Proposal("closer fit" if closer else "regularise", _changed(view, best, chosen), text, weight=1.1)


def crossover(view: View, rng: np.random.Generator) -> Iterator[Proposal]:
    """Combine the incumbent with each of the next best, parameter by parameter, and meet half-way."""
    best = view.ranked[0]
    for other in view.ranked[1:4]:
        shared = [name for name in best.params if name in other.params]
        taken = {name: other.params[name] for name in shared if rng.random() < 0.5}
        text = f"Trials {best.number} and {other.number} are among the best; "
        yield Proposal("crossover", _changed(view, best, taken), text + "take some values from each.")
        middle = {name: _between(view.space[name], best.params[name], other.params[name]) for name in shared}
        yield Proposal("half-way", _changed(view, best, middle), text + "try half-way between them.")


def along_the_trend(view: View, _rng: np.random.Generator) -> Iterator[Proposal]:
    """Move the incumbent along the direction that separates the better third of the trials from the rest."""
    best = view.ranked[0]
    trends = {name: trend for name in best.params if (trend := _trend(view, name)) is not None}
    if not trends:
        return
    third = ", ".join(str(trial.number) for trial in view.ranked[: max(len(view.ranked) // 3, 2)][:5])
    for size in (0.5, 1.0):
        changes = {name: _shifted(view.space[name], best.params[name], size * trend) for name, trend in trends.items()}
        text = f"{_incumbent(best)}; go on in the direction in which the better trials ({third}) differ from the rest."
        yield Proposal("along the trend", _changed(view, best, changes), text)


def around_the_best(view: View, rng: np.random.Generator) -> Iterator[Proposal]:
    """Change a few parameters of one of the best trials a little, together."""
    for trial in view.ranked[:3]:
        for params in _perturbed(view, trial, rng, 12):
            names = [name for name in params if params[name] != trial.params.get(name)]
            together = ", together" * (len(names) > 1)
            text = f"Trial {trial.number} is among the best; change {_listed(names)} a little{together}."
            yield Proposal("around the best", params, text)


def out_of_the_plateau(view: View, rng: np.random.Generator) -> Iterator[Proposal]:
    """Several trials without improvement: take large steps, and look where nothing was tried."""
    waited = view.history.since_improvement()
    if waited < max(5, len(view.space)):
        return
    best = view.ranked[0]
    text = f"No improvement in {waited} trials since trial {best.number}; "
    for params in _perturbed(view, best, rng, 6, scale=3.0):
        yield Proposal("large step", params, text + "take a large step from it.")
    far = list(itertools.islice(filling(view.space, rng), 64))
    places = np.stack([position(view.space, proposal.params) for proposal in far])
    distances = nearest(np.stack([trial.position for trial in view.tried]), places)
    for index in np.argsort(-distances, kind="stable")[:3]:
        yield Proposal("emptiest region", far[index].params, text + "look where no trial has been.", weight=1.2)


def elsewhere(view: View, rng: np.random.Generator) -> Iterator[Proposal]:
    """Look at other parts of the space, which pays while the trials say little."""
    for proposal in itertools.islice(filling(view.space, rng), 64):
        yield Proposal(proposal.rule, proposal.params, f"{_incumbent(view.ranked[0])}. {proposal.rationale}")


def after_a_failure(view: View, _rng: np.random.Generator) -> Iterator[Proposal]:
    """Halve what costs memory and time where the last trials ran out of them."""
    for trial in view.failed[-2:]:
        reason = trial.observation.reason.casefold()
        sizes = {name: _times(trial.params[name], 0.5) for name in trial.params if is_size(name, view.space)}
        if sizes and any(word in reason for word in ("memory", "timeout", "time out", "timed out")):
            text = f"Trial {trial.number} failed ({trial.observation.reason[:60]}); halve {_listed(list(sizes))}."
            yield Proposal("halve after failure", _changed(view, trial, sizes), text)


RULES: tuple[Rule, ...] = (
    rate_for_rounds,
    beyond_the_bound,
    fit_of_the_incumbent,
    along_the_trend,
    one_at_a_time,
    crossover,
    out_of_the_plateau,
    after_a_failure,
    elsewhere,
    around_the_best,
)


def _incumbent(best: Trial) -> str:
    return f"Trial {best.number} ({best.value:.5g}) is best so far"


def _changed(view: View, trial: Trial, changes: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return completed(view.space, {**trial.params, **changes})


def _shifted(parameter: Parameter, value: Scalar, step: float) -> Scalar:
    """Return *value* moved by *step* of the range, by one integer at least."""
    moved = parameter.from_unit(min(max(unit(parameter, value) + step, 0.0), 1.0))
    if moved == value and isinstance(parameter, Int) and step:
        return parameter.repair(value + (parameter.step if step > 0 else -parameter.step))  # type: ignore[operator]
    return moved


def _neighbours(parameter: Parameter, value: Scalar, step: float) -> list[Scalar]:
    if isinstance(parameter, Categorical):
        return [choice for choice in parameter.choices if choice is not value and choice != value]
    moved = [_shifted(parameter, value, step), _shifted(parameter, value, -step)]
    return [other for other in moved if other != value]


def _between(parameter: Parameter, left: Scalar, right: Scalar) -> Scalar:
    if isinstance(parameter, Categorical):
        return left
    return parameter.from_unit((unit(parameter, left) + unit(parameter, right)) / 2)


def _times(value: Scalar, factor: float) -> Scalar:
    return value * factor if isinstance(value, (int, float)) else value


def _support(view: View, name: str, old: Scalar, new: Scalar) -> str:
    """Return a sentence if the better trials, too, have moved in this direction."""
    trend = _trend(view, name)
    if trend is None or not isinstance(old, (int, float)) or not isinstance(new, (int, float)):
        return ""
    if trend > 0 and new > old:
        return " The better third of the trials has larger values, too."
    return " The better third of the trials has smaller values, too." if trend < 0 and new < old else ""


def _perturbed(
    view: View, trial: Trial, rng: np.random.Generator, n: int, *, keep: str = "", scale: float = 1.0
) -> Iterator[dict[str, Scalar]]:
    """Yield *n* configurations in which about a third of the parameters of *trial*, one at least, have moved."""
    names = [name for name in trial.params if name != keep]
    for _ in range(n if names else 0):
        chosen = {names[int(rng.integers(len(names)))]} | {name for name in names if rng.random() < 0.3}
        yield _changed(view, trial, {name: _drawn(view, trial, name, rng, scale) for name in names if name in chosen})


def _drawn(view: View, trial: Trial, name: str, rng: np.random.Generator, scale: float) -> Scalar:
    parameter = view.space[name]
    if isinstance(parameter, Categorical):
        return parameter.from_unit(float(rng.random()))
    return _shifted(parameter, trial.params[name], scale * step_size(view) * float(rng.normal()))


def _trend(view: View, name: str) -> float | None:
    """Return how much larger a number is in the better third of the trials than in the rest, in shares of its range."""
    parameter = view.space[name]
    if isinstance(parameter, Categorical) or len(view.ranked) < 6:
        return None
    places = [unit(parameter, trial.params[name]) for trial in view.ranked if name in trial.params]
    third = max(len(places) // 3, 2)
    if len(places) < 6:
        return None
    return statistics.fmean(places[:third]) - statistics.fmean(places[third:])


def _gap(view: View, trial: Trial) -> float | None:
    """Return by how much the training value is better than the validation value, or None where it was not measured."""
    train = trial.observation.details.get("train_value")
    if train is None or not np.isfinite(train):
        return None
    return view.sign * (trial.value - train)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (" and others" if len(names) > 4 else "") or "nothing"
