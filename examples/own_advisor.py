"""
An advisor of your own: anything that answers `design_space` and `suggest`.
"""

from collections.abc import Sequence

import optuna

import sllmbo
from sllmbo.advisors import Advice, AdviceRequest, SpaceDesign
from sllmbo.errors import AdviceError


class Halfway:
    """Proposes the point half-way between the two best trials."""

    def design_space(self, task: sllmbo.Task) -> SpaceDesign:
        raise AdviceError("I design no spaces.")

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        ranked = request.history.ranked()
        if len(ranked) < 2:
            raise AdviceError("I need two trials.")  # the partner serves the trial, and the trial says why
        one, two = ranked[:2]
        params = {name: (one.params[name] + two.params[name]) / 2 for name in request.space}
        why = f"Half-way between trials {one.number} and {two.number}."
        return [Advice(params=params, rationale=why, source="half-way")]


def objective(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    return (x - 1) ** 2 + (y + 2) ** 2


study = optuna.create_study(sampler=sllmbo.LLMTPESampler(Halfway(), seed=0))
study.optimize(objective, n_trials=30)
print(study.best_value, study.best_trial.user_attrs)
