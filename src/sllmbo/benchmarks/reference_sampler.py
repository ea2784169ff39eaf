"""
`ReferenceSampler`: a model of the sampler in the paper's own repository, which throws its coin per parameter.

It is written from the documented behaviour, to be compared with; nobody should tune with it. What is modelled:

- One coin, fair, from one seeded stream. It is thrown once for the joint sample of a trial and once for each parameter
  that is then sampled by itself. The first trial is the chat model's however its coins fall.
- The joint space is empty in the first trial, and whenever the last coin went to TPE, as univariate TPE has none. Where
  it is not empty, heads is one proposal of the chat model for all parameters, and tails a joint sample of TPE. Where it
  is empty, and where TPE has no joint sample to give (its first ten trials), each parameter has a coin of its own, so
  that the trial is a mixture of both sides. With the seed 42 the joint proposals are those trials of 50 that they were
  in the published runs: 14 with LightGBM's nine parameters, 19 with XGBoost's seven.
- TPE is Optuna's univariate one without constant liar, random for ten trials, from the same seed.
- The chat model is a list of recorded proposals. The first trial gets the first of them. A joint question takes the
  next one whole. The single questions of a later trial are all answered out of one proposal, the next of a line of
  their own; the chat model of the paper did not see its other answers of the trial, so this is kinder to the mixtures
  than it was. Either line starts again when it is through. Nothing is checked for repeats, and nothing tried changes
  what is proposed.

Not modelled: waiting, errors of the provider, values out of range (none were recorded), the dynamic space of the
paper's other methods, several workers, and resuming (the streams run on in memory).

The proposals were made in one run, the later ones in the knowledge of what it had found. Replayed in another study they
bring that knowledge along: a fair comparison is with a method that has the same proposals, not with TPE alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sllmbo.errors import ConfigError

_STARTUP = 10


class ReferenceSampler(BaseSampler):
    """
    The paper repository's LLM-TPE, with recorded proposals as its chat model.

    Args:
        proposals: Configurations in the order in which they are to be proposed, each with all parameters.
        seed: Seeds the coin and TPE.

    Raises:
        ConfigError: If there are no proposals.
    """

    def __init__(self, proposals: Sequence[Mapping[str, Any]], *, seed: int = 42) -> None:
        if not proposals:
            raise ConfigError("proposals=() gives the chat model nothing to say; give at least one configuration.")
        self._proposals = tuple(proposals)
        self._coin = random.Random(seed)
        self._tpe = TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=False, constant_liar=False)
        self._joint_space = IntersectionSearchSpace(include_pruned=True)
        self._last_was_llm = True
        self._n_joint = 1  # the first proposal is that of the first trial, question by question
        self._n_single = 0
        self._singles_of: int | None = None
        """The trial whose single questions were asked last."""

    def reseed_rng(self) -> None:
        """Do nothing, as the reference: its streams run on."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return all parameters if the last coin was the chat model's, else none."""
        return self._joint_space.calculate(study) if self._last_was_llm else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Throw the trial's coin; where there is a joint space, one side serves it."""
        self._throw(trial)
        if not search_space:
            return {}
        if not self._last_was_llm:
            return self._tpe.sample_relative(study, trial, search_space)
        proposal = self._proposals[self._n_joint % len(self._proposals)]
        self._n_joint += 1
        return {name: proposal[name] for name in search_space}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Throw the parameter's coin; one side gives its value."""
        self._throw(trial)
        if not self._last_was_llm:
            return self._tpe.sample_independent(study, trial, param_name, param_distribution)
        if self._singles_of != trial.number:
            self._singles_of = trial.number
            self._n_single += 1
        return self._proposals[(self._n_single - 1) % len(self._proposals)][param_name]

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Do nothing: results reach the reference's chat model in no other way than as the best so far."""

    def _throw(self, trial: FrozenTrial) -> None:
        heads = self._coin.random() < 0.5
        self._last_was_llm = heads or trial.number == 0
