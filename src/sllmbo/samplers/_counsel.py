"""
`Counsel`: asks the advisor on behalf of a sampler, within the budget; the partner serves where nothing usable comes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias

from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo.advisors import Advice, AdviceRequest, Advisor
from sllmbo.budget import Budget
from sllmbo.errors import AdviceError, BudgetExceeded, ConfigError, MissingExtra, ReplayMismatch, ReplyError
from sllmbo.history import History
from sllmbo.llm.meter import metered
from sllmbo.samplers import _turns
from sllmbo.samplers._ahead import LATE, STALE, Ahead, Question
from sllmbo.samplers._ask import PAUSED, ask, decide, is_near, turns_to_wait
from sllmbo.samplers._edits import Box, Edits, open_leeways
from sllmbo.samplers._failure import fall_back, warn_of
from sllmbo.samplers._importance import Importance
from sllmbo.samplers._ledger import StudyMeter
from sllmbo.samplers._partner import Partner
from sllmbo.samplers._reader import Reader, memo_of, told_task
from sllmbo.samplers._record import BATCH, FALLBACK, Decision, batch_of
from sllmbo.space import SearchSpace
from sllmbo.task import Task
from sllmbo.usage import Usage

OnFailure: TypeAlias = Literal["partner", "raise"]
_Purpose: TypeAlias = Literal["opening", "next"]

_LOUD = (ConfigError, MissingExtra, ReplayMismatch)
"""Mistakes of the user's, which no fallback may hide."""


class Counsel:
    """
    Asks the advisor, and turns answers into decisions. `AdvisedSampler` has the arguments.

    Keeps nothing of a study but locks, what its reader keeps, and a question that is asked ahead.
    """

    def __init__(
        self,
        advisor: Advisor | None,
        *,
        task: Task,
        space: SearchSpace | None,
        partner: Partner,
        seed: int,
        n_candidates: int,
        on_failure: OnFailure,
        budget: Budget | None,
        judging: bool,
        edits: Edits,
        prefetch: bool,
    ) -> None:
        self._advisor = advisor
        self._task = task
        self._space = space
        self._partner = partner
        self._seed = seed
        self._n_candidates = n_candidates
        self._on_failure = on_failure
        self._budget = budget
        self._judging = judging
        self._edits: Edits = edits
        self._prefetch = prefetch
        self._forget()

    def _forget(self) -> None:
        self.reader = Reader(self._space)
        self.opening_lock = threading.Lock()
        """Held by the thread that opens a study."""
        self._choosing = threading.Lock()
        self._ahead = Ahead()

    def __getstate__(self) -> dict[str, Any]:
        forgotten = ("reader", "opening_lock", "_choosing", "_ahead")
        return {name: value for name, value in vars(self).items() if name not in forgotten}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def first_of_unknown_space(self, study: Study, trial: FrozenTrial) -> Decision:
        """Return the defaults, by name, of the space that the advisor designs: the objective's own is not known yet."""
        if self._advisor is None or self._task == Task():
            return Decision(source=self._partner.name)
        try:
            with metered(StudyMeter(study, self._budget, "design", 0)):
                design = self._advisor.design_space(self._task)
        except Exception as error:  # noqa: BLE001  # an advisor may be anybody's code
            if type(error) is AdviceError:  # it works, and does not know this task: nothing to warn of
                return Decision(source=self._partner.name)
            return self._fall_back(error, trial, ())
        return Decision(
            source="default",
            params=design.space.default_params() or {},
            rationale=design.rationale or "The default configuration.",
            origin=design.origin,
            prompt_version=design.prompt_version,
            usage=design.usage,
        )

    def opening(
        self, study: Study, trial: FrozenTrial, *, box: Box, turn: int, end: int, until_written: ExitStack
    ) -> Decision:
        """Return the place of *turn* in the opening's batch; ask for one up to turn *end* where there is none."""
        trials = _turns.all_trials(study)
        asked_in = {asked: t for t in trials if (asked := _opens(t)) is not None and not _turns.is_abandoned(t)}
        first = max((earlier for earlier in asked_in if earlier < turn), default=None)
        if first is None:  # of parallel workers, one with a later turn may have asked for the turns after it
            end = min((later for later in asked_in if later > turn), default=end)
            return self._ask(study, trial, trials, until_written, box=box, turn=turn, n=end - turn, purpose="opening")
        batch = batch_of(asked_in[first].user_attrs)
        position = turn - first - 1
        if position >= len(batch):
            return Decision(source=self._partner.name)
        advice, space = batch[position], box.present
        if self._space is None:  # what the objective suggested since then is the partner's
            space = SearchSpace({name: parameter for name, parameter in space.items() if name in advice.params})
        try:
            return decide(advice, space, self.reader.history(study, trials))
        except ReplyError as error:
            return Decision(source=self._partner.name, turned_down=(f"from the opening batch: {error}",))

    def next(
        self,
        study: Study,
        trial: FrozenTrial,
        trials: Sequence[FrozenTrial],
        *,
        box: Box,
        turn: int,
        until_written: ExitStack,
    ) -> Decision:
        """Return what to try now, by an answer that was asked for ahead if the sampler does that."""
        n = self._n_candidates
        return self._ask(study, trial, trials, until_written, box=box, turn=turn, n=n, purpose="next")

    def wants_question(self, study: Study) -> bool:
        """Tell whether a question may be asked ahead."""
        return self._prefetch and self._ahead.of(study) is None

    def ask_ahead(
        self, study: Study, trials: Sequence[FrozenTrial], *, box: Box, turn: int, later: int, n_opening: int | None
    ) -> None:
        """
        Ask in the background what to try in *turn*, unless the study ends before, going by the task's *n_trials*.

        Args:
            study: The study.
            trials: All its trials.
            box: Where the turn searches.
            turn: The turn.
            later: How many trials come first.
            n_opening: How many turns the opening has, if it is one.
        """
        if turns_to_wait(trials, turn) or (n_opening and any(_opens(trial) is not None for trial in trials)):
            return
        purpose: _Purpose = "opening" if n_opening else "next"
        n = n_opening or self._n_candidates
        request = self._request(study, trials, before=len(trials), box=box, turn=turn, n=n, purpose=purpose)
        n_trials, n_begun = self._task.n_trials, len(request.history)
        if n_trials is None or n_begun + later < n_trials or n_begun > n_trials:
            self._ahead.ask(study, request, partial(self._suggest, study, request))

    def _suggest(self, study: Study, request: AdviceRequest) -> Sequence[Advice]:
        assert self._advisor is not None
        with metered(StudyMeter(study, self._budget, request.purpose, request.turn)):
            return list(self._advisor.suggest(request))

    def _request(
        self,
        study: Study,
        trials: Sequence[FrozenTrial],
        *,
        before: int,
        box: Box,
        turn: int,
        n: int,
        purpose: _Purpose,
    ) -> AdviceRequest:
        history: History = self.reader.history(study, trials, before=before)
        left = None if self._task.n_trials is None else self._task.n_trials - len(history)
        open_ = {}
        if purpose == "next":
            open_ = open_leeways(box, trials, history, before=before, edits=self._edits, remaining=left)
        return AdviceRequest(
            task=told_task(self._task, study),
            space=box.present,
            history=history,
            leeways=open_,
            importance=Importance(box.present, history),
            memo=memo_of(trials, before=before),
            n=n,
            purpose=purpose,
            turn=turn,
            seed=self._seed,
        )

    def _ask(
        self,
        study: Study,
        trial: FrozenTrial,
        trials: Sequence[FrozenTrial],
        until_written: ExitStack,
        *,
        box: Box,
        turn: int,
        n: int,
        purpose: _Purpose,
    ) -> Decision:
        question = self._ahead.take(study, purpose) if self._prefetch else None
        if question is None:
            waiting = turns_to_wait(trials, turn)
            if waiting:
                reason = f"the last questions failed; the next is asked {waiting} turns from here"
                return Decision(source=self._partner.name, fallback={"kind": PAUSED, "reason": reason})
            if self._prefetch and purpose == "next":
                return self._late(study)
        request = self._request(study, trials, before=trial.number, box=box, turn=turn, n=n, purpose=purpose)
        if question is not None and question.is_stale(request.history):
            return self._stale(question, request.history)

        def tried() -> History:
            # Of several threads whose answers are there, one chooses and writes after the other.
            until_written.enter_context(self._choosing)
            return self.reader.history(study, _turns.all_trials(study))

        try:
            decision = ask(
                partial(self._suggest, study) if question is None else question.result,
                request,
                tried=tried,
                judge=partial(self._judge, request, box),
                partner=self._partner.name,
            )
        except Exception as error:  # noqa: BLE001  # an advisor may be anybody's code
            decision = self._fall_back(error, trial, trials)
        return decision if question is None else replace(decision, asked=question.record(request.history))

    def _late(self, study: Study) -> Decision:
        question = self._ahead.of(study)
        reason = "nothing was asked ahead for this turn"
        if question is not None:
            reason = f"the question for turn {question.request.turn} is not answered yet"
        return Decision(source=self._partner.name, fallback={"kind": LATE, "reason": reason})

    def _stale(self, question: Question, now: History) -> Decision:
        asked = question.record(now)
        reason = f"the answer for turn {asked['turn']} was dropped: {asked['missed']} trials ended since it was asked"
        usage = sum((advice.usage for advice in question.answer.result()), Usage())
        fallback = {"kind": STALE, "reason": reason}
        return Decision(source=self._partner.name, usage=usage, fallback=fallback, asked=asked)

    def _judge(self, request: AdviceRequest, box: Box, candidates: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """Tell why candidates are turned down: next to a trial, likely to fail, or of little promise."""
        if not self._judging:
            return ["" for _ in candidates]
        reasons = self._partner.judge(box, request.history, candidates, turn=request.turn)
        done = [o for o in request.history if o.state == "complete"]
        near = [next((o.number for o in done if is_near(c, o.params, request.space)), None) for c in candidates]
        return [f"is next to trial {n}" if n is not None else r for n, r in zip(near, reasons, strict=True)]

    def _fall_back(self, error: Exception, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Decision:
        if self._on_failure == "raise" or isinstance(error, _LOUD):
            raise error
        kinds = {t.user_attrs.get(FALLBACK, {}).get("kind") for t in trials}
        if not isinstance(error, BudgetExceeded) or type(error).__name__ not in kinds:  # a spent budget is told once
            warn_of(error, trial, advisor=self._advisor, sampler=self._partner.sampler)
        return fall_back(error, partner=self._partner.name)


def _opens(trial: FrozenTrial) -> int | None:
    """Return the turn of a trial that asked for an opening; None for the others."""
    return _turns.turn_of(trial) if BATCH in trial.user_attrs else None
