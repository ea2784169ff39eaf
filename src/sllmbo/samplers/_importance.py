"""
How much each parameter matters, by Optuna's PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import cast

from optuna.trial import FrozenTrial

from sllmbo.history import History, Observation
from sllmbo.prompts.standing import Standing, standing
from sllmbo.samplers._convert import to_distributions
from sllmbo.space import Categorical, SearchSpace


class Importance(Mapping[str, float]):
    """What `importance` returns, worked out when somebody looks: most advisors do not, and it loads much of Optuna."""

    def __init__(self, space: SearchSpace, history: History) -> None:
        self._told = space, history

    @cached_property
    def _shares(self) -> dict[str, float]:
        return importance(*self._told)

    def __getitem__(self, name: str) -> float:
        return self._shares[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shares)

    def __len__(self) -> int:
        return len(self._shares)


_ENOUGH = 20
"""With fewer complete trials there are fewer than 5 good ones, which Optuna advises against."""


def importance(space: SearchSpace, history: History) -> dict[str, float]:
    """
    Return by parameter its share of what puts a trial among the best quarter; nothing of fewer than 20 complete trials.

    What Optuna's default evaluator says, but as a function of space and history: also where bounds were edited, of the
    trials before a certain one, and without the infeasible ones. Parameters with a condition count as in conditional
    PED-ANOVA (arXiv 2601.20800).
    """
    study = standing(space, history)
    if len(study.ranked) < _ENOUGH:
        return {}
    n, last = len(study.good), study.good[-1].value
    best = [o for place, o in enumerate(study.ranked) if place < n or o.value == last]  # with all that equal the last
    from optuna.importance import PedAnovaImportanceEvaluator  # not with sllmbo: it takes long to load

    evaluator = PedAnovaImportanceEvaluator()
    found: dict[str, float] = {}
    for name, distribution in to_distributions(space).items():
        every, good = (_having(study, name, trials) for trials in (study.ranked, best))
        if good and not distribution.single():
            divergence = evaluator._compute_pearson_divergence(name, distribution, good, every)
            active, among_all = len(good) / len(best), len(every) / len(study.ranked)
            found[name] = active**2 / among_all * divergence
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}


def _having(study: Standing, name: str, trials: Sequence[Observation]) -> list[FrozenTrial]:
    """Return those of *trials* that have a value for *name*, for what takes only values from them."""
    parameter = study.space[name]
    is_log = not isinstance(parameter, Categorical) and parameter.log
    having = [o for o in study.having(name, trials) if not is_log or o.params[name] > 0]
    return cast("list[FrozenTrial]", having)
