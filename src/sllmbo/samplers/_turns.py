"""
The study as a sampler reads it: turns, abandoned trials, history.

A trial's turn is its number among the trials that this sampler serves, not counting abandoned ones. All that is decided
for a trial depends on its turn, not its number: so a trial that was cut off by a killed process shifts nothing, and
the trial that takes its turn over takes its decision over.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sllmbo.samplers._record import FAILURE, SOURCE
from sllmbo.samplers._worker import HERE_SINCE, is_gone, this_worker

TURN = "sllmbo:turn"
"""
System attribute of every trial that this package's samplers started: {"number", "turn", "worker", "request", "for"}.

"number" is the trial's: Optuna copies the attributes of a trial that it retries. "turn" is None where the user gave the
parameters; "request" is the place among those, and "for" the number of the abandoned one that is repeated. "worker" is
the process that evaluates it; None where any may tell how it ended.
"""
TOLD = "sllmbo:told"
"""System attribute of a failed trial whose failure was told; without it, a trial that a process had was abandoned."""
INTERRUPTED = "sllmbo:interrupted"
"""System attribute of a trial that the user interrupted: abandoned, but by no fault of its configuration."""
_LIVES = 3
"""What so many processes died of is not tried once more; where this process closes the last, it is told as failed."""
_FIXED = "fixed_params"  # Optuna's own, on enqueued trials
_RETRIED = "failed_trial"  # Optuna's own, on the trials that its retry callback enqueues


def record_of(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """Return the `TURN` of a trial that this package's samplers started in this study, not one that was copied."""
    record: Mapping[str, Any] | None = trial.system_attrs.get(TURN)
    return record if record is not None and record["number"] == trial.number else None


def turn_of(trial: FrozenTrial) -> int | None:
    """Return the trial's turn; None for one that the user gave, or that other samplers or studies had."""
    record = record_of(trial)
    return None if record is None else record["turn"]


def is_enqueued(trial: FrozenTrial) -> bool:
    """Tell whether the user gave the trial's parameters."""
    return _FIXED in trial.system_attrs


def fixed_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters that the user gave."""
    return dict(trial.system_attrs.get(_FIXED, {}))


def is_abandoned(trial: FrozenTrial) -> bool:
    """
    Tell whether the trial ended without anyone telling how: its process died, or it was interrupted.

    One that no process was bound to evaluate has failed: it was told, if perhaps without such a sampler.
    A process can also die between creating a trial and writing its turn. That trial stays running for ever; it is told
    from a new one by having been there before this process was.
    """
    if trial.state is TrialState.COMPLETE:  # most are, and this is asked of all trials in every trial
        return False
    if trial.state == TrialState.RUNNING and TURN not in trial.system_attrs:
        return trial.datetime_start is not None and trial.datetime_start < HERE_SINCE
    record = trial.system_attrs.get(TURN)
    if trial.state is not TrialState.FAIL or record is None or TOLD in trial.system_attrs:
        return False
    return record["worker"] is not None or INTERRUPTED in trial.system_attrs


def abandon(study: Study, trial_id: int) -> None:
    """Close a running trial as abandoned, by no fault of its own: it counts nowhere, and its turn is free again."""
    with contextlib.suppress(UpdateFinishedTrialError):  # another worker was faster
        study._storage.set_trial_system_attr(trial_id, INTERRUPTED, True)
        study._storage.set_trial_state_values(trial_id, TrialState.FAIL)


def worker_of(study: Study) -> dict[str, Any] | None:
    """
    Return the process that evaluates a trial of *study* that is asked for now: this one, within `Study.optimize`.

    None for one of `Study.ask`, which says nothing of who evaluates and tells it, or when.
    """
    return this_worker() if study._thread_local.in_optimize_loop else None


def all_trials(study: Study) -> list[FrozenTrial]:
    """Return all trials of *study* by number, as `close_dead` would leave them. Not to be changed."""
    trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
    dead = _dead(trials)
    trials = [_closed(t, dead[t.number]) if t.number in dead else t for t in sorted(trials, key=attrgetter("number"))]
    study._thread_local.cached_all_trials = trials  # so that the partner need not read them again
    return trials


def close_dead(study: Study) -> None:
    """Close the trials of processes that have ended: as abandoned, or failed if too many died of the same."""
    storage = study._storage
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    dead = _dead(trials)
    for trial in trials:
        if trial.number in dead:
            with contextlib.suppress(UpdateFinishedTrialError):  # another worker was faster
                if dead[trial.number]:
                    storage.set_trial_user_attr(trial._trial_id, FAILURE, dead[trial.number])
                    storage.set_trial_system_attr(trial._trial_id, TOLD, True)
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _dead(trials: Sequence[FrozenTrial]) -> dict[int, str]:
    """Return by number the running trials whose process has ended, with why they fail; "" for those abandoned."""
    running = TrialState.RUNNING  # most are not, and this is asked of all trials in every trial
    dead = [trial for trial in trials if trial.state is running and _is_orphan(trial)]
    died = deaths(trials) if dead else Counter()
    reason = f"ProcessDied: {_LIVES} times in this trial"
    is_last = {t.number: bool(t.params) and died[stream(t.system_attrs[TURN])] >= _LIVES - 1 for t in dead}
    return {number: reason if last else "" for number, last in is_last.items()}


def _closed(trial: FrozenTrial, reason: str) -> FrozenTrial:
    trial = copy.copy(trial)
    trial.state = TrialState.FAIL
    if reason:
        trial.user_attrs = {**trial.user_attrs, FAILURE: reason}
        trial.system_attrs = {**trial.system_attrs, TOLD: True}
    return trial


def deaths(trials: Iterable[FrozenTrial]) -> Counter[int | str]:
    """Return how many processes died while they evaluated the parameters of a turn or a request, by `stream`."""
    died: Counter[int | str] = Counter()
    for trial in trials:
        if trial.state is not TrialState.COMPLETE and trial.params and INTERRUPTED not in trial.system_attrs:
            record = record_of(trial)
            if record is not None and is_abandoned(trial):
                died[stream(record)] += 1
    return died


def _is_orphan(trial: FrozenTrial) -> bool:
    record = record_of(trial)
    return record is not None and record["worker"] is not None and is_gone(record["worker"])


def free_turn(
    trials: Sequence[FrozenTrial],
    number: int,
    taken: Iterable[int | None] = (),
    died: Mapping[int | str, int] | None = None,
) -> int:
    """
    Return the turn of trial *number*: the lowest that no earlier one of *trials* has and that is not *taken*.

    Trials that the user enqueued or added, and trials of other samplers, have none. What too many processes died of, of
    *trials* or as *died* says, is left out.
    """
    taken = set(taken)
    fatal = (work for work, n in (deaths(trials) + Counter(died)).items() if n >= _LIVES)
    taken.update(work for work in fatal if isinstance(work, int))
    to_come = 0  # created by another worker that has not yet written the turn: the lowest, as this one
    for trial in trials:
        if trial.number >= number or is_abandoned(trial):
            continue
        record = record_of(trial)
        if record is not None:
            taken.add(record["turn"])  # None is never asked for
        elif trial.state == TrialState.RUNNING and not is_enqueued(trial):
            to_come += 1
    free = (turn for turn in itertools.count() if turn not in taken)
    return next(itertools.islice(free, to_come, None))


def pending_request(trials: Sequence[FrozenTrial], number: int) -> FrozenTrial | None:
    """
    Return the first trial that the user enqueued, that was abandoned, and that no trial before *number* repeats.

    None of which too many processes died.
    """
    complete = TrialState.COMPLETE
    ended_otherwise = [trial for trial in trials if trial.state is not complete and trial.number < number]
    cut_off = [trial for trial in ended_otherwise if is_enqueued(trial) and is_abandoned(trial)]
    if not cut_off:
        return None
    lower = [trial for trial in trials if trial.number < number]
    alive = [trial for trial in lower if not is_abandoned(trial)]
    repeated = {trial.system_attrs.get(TURN, {}).get("for") for trial in alive}
    repeated |= {trial.system_attrs.get(_RETRIED) for trial in alive}
    died = deaths(lower)
    for trial in cut_off:
        record = record_of(trial)
        if trial.number not in repeated and (record is None or died[stream(record)] < _LIVES):
            return trial
    return None


def request_index(trials: Iterable[FrozenTrial], number: int) -> int:
    """Return the place of trial *number* among those that the user enqueued."""
    return sum(is_enqueued(trial) for trial in trials if trial.number < number)


def stream(record: Mapping[str, Any]) -> int | str:
    """Return the partner's stream of random numbers for a trial with this `TURN`: the turn, or which request it is."""
    return f"request {record['request']}" if record["turn"] is None else int(record["turn"])


def predecessor(trials: Sequence[FrozenTrial], *, turn: int) -> FrozenTrial | None:
    """Return the last abandoned trial that had *turn* and was decided on, or None."""
    complete = TrialState.COMPLETE
    for trial in reversed(trials):
        if trial.state is complete or SOURCE not in trial.user_attrs or not is_abandoned(trial):
            continue
        if turn_of(trial) == turn:
            return trial
    return None
