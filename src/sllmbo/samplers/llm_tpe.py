"""
`LLMTPESampler`: advisor and TPE in turns.
"""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from sllmbo.advisors import Advisor
from sllmbo.advisors.choose import choose_advisor
from sllmbo.budget import Budget
from sllmbo.llm import ReplyMode
from sllmbo.samplers._counsel import OnFailure
from sllmbo.samplers._open import Init
from sllmbo.samplers.advised import AdvisedSampler
from sllmbo.samplers.mixing import Adaptive, MixingPolicy
from sllmbo.space import SearchSpace
from sllmbo.task import Task


class LLMTPESampler(AdvisedSampler):
    """
    An Optuna sampler whose trials come from a language model and from TPE in turns.

    The LLM-TPE method (arXiv 2410.20302): each trial is served whole by one side, and each side learns from all trials.
    The first trial is the default configuration, the next few are the advisor's opening batch.

    A trial of `Study.ask` may be told by any process. One of `Study.optimize` is given up when its process has died,
    and its configuration is tried again.

    Args:
        llm: "offline" (documented rules, no chat model), "provider:model", "replay:FILE", or an `Advisor`. None: what
            the environment variable SLLMBO_LLM says, else "offline".
        base_url: An OpenAI-compatible server that has the chat model.
        reply_mode: How the chat model is asked for replies: "tool", "native", "prompted", or "auto" for what works.
        task: What is tuned, in words or as a `Task`.
        space: The search space: a `SearchSpace`, or Optuna's distributions by name. It lets the advisor act from the
            first trial on. Without one it is what earlier trials suggested.
        partner: Any Optuna sampler for one objective. TPE with today's defaults if None. Its random streams are set
            from *seed* and the turn.
        mixing: Who serves which turn after the opening; `Adaptive` if None: the more often, the likelier
            the study makes it that the advisor's trials are better than the partner's.
        init: "llm" opens with one batch of diverse points, "random" with random ones, "default" with the default alone.
        n_opening: Trials of the opening.
        n_candidates: Configurations asked for at once after the opening; the first usable one is taken.
        seed: Seed of everything that is drawn. The same seed and replies give the same trials, with TPE also after a
            resume (docs/adr/0008).
        on_failure: What happens when the advisor fails: "partner" lets the partner serve the trial, warns, and records
            it on the trial; "raise" raises.
        budget: What the questions of the study may cost (calls, tokens, US dollars), shared by all threads and
            processes on its storage. Once it is spent, the partner serves.
        judging: Whether TPE's density ratio and the failed trials may turn the advisor's candidates down.
        prefetch: Whether the advisor is asked while trials run: nobody waits for it, and a turn for which no answer is
            ready is the partner's. What is tried then depends on the clock as well as on *seed* (docs/adr/0015).
        fixed_space: Whether the advisor may not narrow ranges during the study. It needs evidence for it, the best
            trials remain inside, and what brings nothing within 8 trials is undone (docs/adr/0012).
        repeats: Whether the last two fifths of the trials may evaluate leaders again, if the first show noise in the
            values; `sllmbo.samplers.chosen` tells the winner then. Needs the task's *n_trials*.

    Raises:
        ConfigError: If an argument breaks a rule or a key is missing.
        MissingExtra: If the provider's package is not installed.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> sampler = LLMTPESampler(llm="offline", task="LightGBM on census income", seed=0)
        >>> study = optuna.create_study(sampler=sampler)
        >>> study.optimize(lambda trial: trial.suggest_float("learning_rate", 0.01, 0.3, log=True), n_trials=3)
        >>> study.trials[0].params
        {'learning_rate': 0.1}
    """

    def __init__(
        self,
        llm: str | Advisor | None = None,
        *,
        base_url: str | None = None,
        reply_mode: ReplyMode = "auto",
        task: Task | str | None = None,
        space: SearchSpace | Mapping[str, BaseDistribution] | None = None,
        partner: BaseSampler | None = None,
        mixing: MixingPolicy | None = None,
        init: Init = "llm",
        n_opening: int = 5,
        n_candidates: int = 3,
        seed: int | None = None,
        on_failure: OnFailure = "partner",
        budget: Budget | None = None,
        judging: bool = True,
        prefetch: bool = False,
        fixed_space: bool = False,
        repeats: bool = False,
    ) -> None:
        super().__init__(
            choose_advisor(llm, base_url=base_url, reply_mode=reply_mode),
            task=task,
            space=space,
            partner=partner,
            mixing=mixing if mixing is not None else Adaptive(),
            init=init,
            n_opening=n_opening,
            n_candidates=n_candidates,
            seed=seed,
            on_failure=on_failure,
            budget=budget,
            judging=judging,
            edits="none" if fixed_space else "narrow",
            prefetch=prefetch,
            repeats=repeats,
        )
