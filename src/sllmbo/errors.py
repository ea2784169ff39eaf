"""
The exceptions of sllmbo.

    SllmboError                  everything that sllmbo raises on purpose
    ├── SpaceError               a parameter, a search space or a value is wrong (also a ValueError)
    ├── TaskError                the data, the metric or the estimator is wrong (also a ValueError)
    ├── StudyError               the study in the storage does not fit what was asked for
    ├── ConfigError              the advisor or chat model is named or configured wrongly (also a ValueError)
    ├── MissingExtra             an optional package is not installed (also an ImportError)
    ├── AdviceError              no usable advice; a sampler falls back to its partner
    │   ├── BudgetExceeded       the question was not asked, as it might pass the budget
    │   ├── ReplyError           the chat model answered, but not usably
    │   └── ProviderError        the chat model did not answer
    │       ├── AuthenticationFailed   the key was refused
    │       ├── RateLimited            too many requests, or no quota left
    │       ├── Refused                the request was rejected as such
    │       │   └── ContextTooLong     it was too long for the chat model
    │       └── Unavailable            no connection, a server error, or the deadline passed
    └── ReplayMismatch           the question differs from the recorded one

Every message is one sentence that quotes the value, the rule and the remedy.
"""

from __future__ import annotations

from sllmbo.usage import Usage


class SllmboError(Exception):
    """Root of everything that sllmbo raises on purpose."""


class SpaceError(SllmboError, ValueError):
    """A parameter, a search space, or a value for it breaks a rule."""


class TaskError(SllmboError, ValueError):
    """The data, the metric or the estimator cannot be used as given."""


class StudyError(SllmboError):
    """The stored study does not fit what was asked for."""


class ConfigError(SllmboError, ValueError):
    """The advisor or the chat model is named or configured wrongly."""


class MissingExtra(SllmboError, ImportError):
    """An optional package is needed and not installed."""


class AdviceError(SllmboError):
    """
    No usable advice could be had.

    Samplers answer it by letting their partner serve the whole trial.
    """

    usage: Usage
    """What the failed attempt cost."""

    raw: str = ""
    """What was replied, one JSON text per line: a reply that was JSON, or the words of one that was not."""

    def __init__(self, message: str, *, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage if usage is not None else Usage()


class BudgetExceeded(AdviceError):
    """The question was not asked: it might pass the budget."""


class ReplyError(AdviceError):
    """
    The chat model answered, but not usably.

    The message is written so that it can be sent back to the chat model as the correction.
    """


class ProviderError(AdviceError):
    """The chat model did not answer."""


class AuthenticationFailed(ProviderError):
    """The provider refused the key."""


class RateLimited(ProviderError):
    """Too many requests, or no quota left."""


class Refused(ProviderError):
    """The provider rejected the request as such: unknown chat model, bad parameter, content policy."""


class ContextTooLong(Refused):
    """The question was too long for the chat model."""


class Unavailable(ProviderError):
    """No connection, a server error, or the deadline passed."""


class ReplayMismatch(SllmboError):
    """The question that is asked differs from the recorded one."""
