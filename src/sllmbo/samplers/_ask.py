"""
One question to the advisor, and the decision that comes of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from optuna.trial import FrozenTrial

from sllmbo.advisors import Advice, AdviceRequest
from sllmbo.errors import BudgetExceeded, ReplyError, SpaceError
from sllmbo.history import History, Observation, Refusal
from sllmbo.samplers._ahead import LATE
from sllmbo.samplers._edits import applied_edits
from sllmbo.samplers._record import FALLBACK, PARAMS, REFUSED, SOURCE, Decision
from sllmbo.samplers._repeats import REPEAT
from sllmbo.samplers._turns import is_abandoned, turn_of
from sllmbo.space import Float, SearchSpace
from sllmbo.usage import Usage

PAUSED = "Paused"
"""The kind of a fallback in a turn for which the advisor was not asked, since it kept failing."""
NOT_FAILED = (PAUSED, LATE, BudgetExceeded.__name__)
"""Kinds of fallbacks in which no question failed."""

_PATIENCE = 3
"""After so many failed questions in a row, the next one waits, twice as many turns each time."""


_NEAR = 0.01
"""Nearer than this share of its scale, a value teaches hardly anything new."""


def turns_to_wait(trials: Sequence[FrozenTrial], turn: int) -> int:
    """Return how many turns to let pass before an advisor is asked again whose last questions failed."""
    failed, last = 0, turn
    for trial in reversed(trials):
        asked_in = turn_of(trial)
        if asked_in is None or is_abandoned(trial):
            continue
        fallback = trial.user_attrs.get(FALLBACK)
        if fallback and fallback["kind"] not in NOT_FAILED:
            failed += 1
            last = asked_in if failed == 1 else last
        elif REFUSED in trial.user_attrs or (PARAMS in trial.user_attrs and trial.user_attrs.get(SOURCE) != REPEAT):
            break
    if failed < _PATIENCE:
        return 0
    return int(max(last + 2 ** (failed - _PATIENCE + 1) - turn, 0))


Judge: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Sequence[str]]
"""Tells, for each configuration, why it is turned down, or "" where it is not."""


def ask(
    suggest: Callable[[AdviceRequest], Sequence[Advice]],
    request: AdviceRequest,
    *,
    tried: Callable[[], History],
    judge: Judge,
    partner: str,
) -> Decision:
    """
    Return the decision that the answer of *suggest* to *request* amounts to.

    The first candidate is taken that can be repaired into the space, repeats no trial and is not turned down by
    *judge*; the partner serves where *judge* turns down all that are left. The others of an opening come along as the
    decision's batch.

    Args:
        suggest: Gives the answer.
        request: The question.
        tried: Called when the answer is there; the trials by then, which may be more than those of the request.
        judge: Asked about candidates for the next trial; an opening is diverse on purpose.
        partner: The source of the partner's trials.

    Raises:
        ReplyError: If no candidate is usable.
        Exception: Whatever else *suggest* raises.
    """
    answer = list(suggest(request))
    usage = sum((advice.usage for advice in answer), Usage())
    history = tried()
    usable: list[Decision] = []
    turned_down: list[str] = []
    for position, advice in enumerate(answer[: request.n], start=1):
        try:
            decision = decide(advice, request.space, history, [other.params or {} for other in usable])
        except ReplyError as error:
            turned_down.append(f"candidate {position}: {error}")
        else:
            usable.append(decision)
    if not usable:
        raise ReplyError("; ".join(turned_down) or "the answer held no candidate", usage=usage)
    memo = next((advice.memo for advice in answer if advice.memo is not None), None)
    edits, refused = applied_edits(answer, request.space, request.leeways)
    turned_down += refused
    if request.purpose == "opening":
        batch = tuple(_advice(decision) for decision in usable[1:])
        return replace(usable[0], usage=usage, turned_down=tuple(turned_down), batch=batch, memo=memo)
    chosen: Decision | None = None
    judged: list[Refusal] = []
    for decision, reason in zip(usable, judge([decision.params or {} for decision in usable]), strict=True):
        if not reason:
            chosen = decision
            break
        turned_down.append(f"{', '.join(f'{k}={v}' for k, v in (decision.params or {}).items())}: {reason}")
        judged.append(Refusal(decision.params or {}, reason))
    decision = chosen or Decision(source=partner)
    return replace(decision, usage=usage, turned_down=tuple(turned_down), refused=tuple(judged), memo=memo, edits=edits)


def decide(advice: Advice, space: SearchSpace, history: History, others: Sequence[Mapping[str, Any]] = ()) -> Decision:
    """
    Return the decision to evaluate *advice*.

    Raises:
        ReplyError: If it cannot be repaired, or repeats a trial or one of *others*.
    """
    try:
        params, repairs = space.repair(dict(advice.params))
    except (SpaceError, TypeError, ValueError) as error:
        raise ReplyError(str(error)) from error
    for observation in history:
        if is_repeat(params, observation.params, space) and not _is_part(observation, params, history):
            raise ReplyError(f"repeats trial {observation.number}")
    if any(is_repeat(params, other, space) for other in others):
        raise ReplyError("repeats another candidate")
    return Decision(
        source=advice.source,
        params=params,
        rationale=advice.rationale,
        origin=advice.origin,
        prompt_version=advice.prompt_version,
        repairs=repairs,
    )


def _is_part(observation: Observation, params: Mapping[str, Any], history: History) -> bool:
    """Tell whether it is not known what *observation* had for all of *params*: it did not end, or came before them."""
    lacking = set(params) - set(observation.params)
    if observation.state != "complete":
        return bool(lacking)
    return any(all(name not in o.params for o in history[: observation.number]) for name in lacking)


def is_repeat(params: Mapping[str, Any], tried: Mapping[str, Any], space: SearchSpace) -> bool:
    """Tell whether *tried*, as far as it lies in *space*, is what *params* says."""
    matched = False
    for name, value in tried.items():
        if name in space:
            if name not in params or params[name] != value or type(params[name]) is not type(value):
                return False
            matched = True
    return matched


def is_near(params: Mapping[str, Any], tried: Mapping[str, Any], space: SearchSpace) -> bool:
    """Tell whether *params* differs from *tried* by less than 1 % of the scale of each real parameter, and else not."""
    for name, value in params.items():
        parameter = space[name]
        if name not in tried:
            return False
        if not isinstance(parameter, Float) or parameter.step is not None:
            if value != tried[name]:
                return False
        elif not _is_close(parameter, value, tried[name]):
            return False
    return all(name in params for name in tried if name in space)


def _is_close(parameter: Float, one: Any, other: Any) -> bool:
    if not parameter.contains(other):
        return False
    return abs(parameter.to_unit(one) - parameter.to_unit(other)) < _NEAR


def _advice(decision: Decision) -> Advice:
    return Advice(
        params=decision.params or {},
        rationale=decision.rationale,
        source=decision.source,
        origin=decision.origin,
        prompt_version=decision.prompt_version,
    )
