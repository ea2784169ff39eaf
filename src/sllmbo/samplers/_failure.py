"""
What happens when a trial fails, and when an advisor does.
"""

from __future__ import annotations

import logging
import sys

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from sllmbo.advisors import Advisor
from sllmbo.errors import AdviceError
from sllmbo.samplers._record import Decision

_logger = logging.getLogger("sllmbo")

_REASON_LENGTH = 500


def warn_of(error: Exception, trial: FrozenTrial, *, advisor: Advisor | None, sampler: BaseSampler) -> None:
    """Warn that *advisor* failed with *error*: in which trial, why, who serves instead, and what can be done."""
    _logger.warning(
        "Trial %d: %s gave no usable advice (%s: %s), so %s serves the whole trial. Pass on_failure='raise' to stop "
        "instead, or raise the level of the logger 'sllmbo' to silence this.",
        trial.number,
        type(advisor).__name__,
        type(error).__name__,
        _reason(error),
        type(sampler).__name__,
        extra={"trial": trial.number},
    )


def warn_of_mismatch(name: str, sentence: str) -> None:
    """Warn that the objective does not suggest parameter *name* as the sampler's search space has it."""
    _logger.warning("The sampler's search space has %r, but the objective %s", name, sentence)


def fall_back(error: Exception, *, partner: str) -> Decision:
    """Return the decision that the partner serves the whole trial because the advisor failed with *error*."""
    usage = error.usage if isinstance(error, AdviceError) else None
    return Decision(source=partner, usage=usage, fallback={"kind": type(error).__name__, "reason": _reason(error)})


def _reason(error: Exception) -> str:
    return (str(error) or repr(error))[:_REASON_LENGTH]


def describe_error(error: BaseException) -> str:
    """Return class and message of *error* in one line, as an advisor is told it."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  # anybody's class, whose words may fail as well
        text = ""
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def error_in_optimize() -> BaseException | None:
    """
    Return the error that made the trial fail, if `Study.optimize` runs it.

    Optuna tells a sampler that a trial failed, but not why, and drops the error unless it stops the study. The error
    is a local variable of the function that told us.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_run_trial" and frame.f_globals.get("__name__") == "optuna.study._optimize":
            error = frame.f_locals.get("func_err")
            return error if isinstance(error, BaseException) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
