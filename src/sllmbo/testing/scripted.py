"""
Advisors for tests: `ScriptedAdvisor` says what it is told to say, the hostile ones do what an advisor should not.

The hostile advisors are scripted ones, so all of them record their requests, pickle, and may be called from several
threads. What they draw depends on the request's seed and turn alone.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from sllmbo._random import generator
from sllmbo.advisors import Advice, AdviceRequest, SpaceDesign
from sllmbo.errors import AdviceError
from sllmbo.space import Categorical, Scalar, SearchSpace, SpaceEdit
from sllmbo.task import Task

Params: TypeAlias = Mapping[str, Any]
Reply: TypeAlias = Params | Advice | Exception | Sequence[Params | Advice]
"""Parameters, advice, several of either, or an exception to raise."""


class ScriptedAdvisor:
    """
    Answer with scripted replies, and keep what was asked.

    Args:
        reply: Parameters, advice, or an exception to raise: the answer to every question. Or a list with one reply per
            question, in order, after which every further question raises `AdviceError`. Or a function of the request.
        space: What `design_space` returns; None raises `AdviceError`.

    A reply in a list or from a function may itself be a list: several configurations at once. Replies are passed on as
    they are, right or wrong, and not cut to the number that was asked for.

    Example:
        >>> from sllmbo.history import History
        >>> from sllmbo.space import Float
        >>> advisor = ScriptedAdvisor([{"x": 0.25}, {"x": 0.75}])
        >>> request = AdviceRequest(task=Task(), space=SearchSpace({"x": Float(0, 1)}), history=History("maximize"))
        >>> [advisor.suggest(request)[0].params["x"] for _ in range(2)]
        [0.25, 0.75]
    """

    requests: list[AdviceRequest]
    """What was asked so far, in order."""

    def __init__(
        self,
        reply: Params | Advice | Exception | Sequence[Reply] | Callable[[AdviceRequest], Reply],
        *,
        space: SearchSpace | None = None,
    ) -> None:
        self.reply = reply
        self.space = space
        self.requests = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.reply, self.space, list(self.requests))

    def design_space(self, task: Task) -> SpaceDesign:
        """Return the scripted space, or raise `AdviceError` if there is none."""
        if self.space is None:
            raise AdviceError(f"No search space is scripted for {task.description!r}; give one as space=.")
        return SpaceDesign(space=self.space, rationale="scripted", source="scripted", origin="scripted")

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """Return the next scripted reply, or raise it."""
        with self._lock:
            index = len(self.requests)
            self.requests.append(request)
        reply = self._reply_to(request, index)
        if isinstance(reply, Exception):
            raise reply
        several = reply if isinstance(reply, Sequence) else [reply]
        return tuple(item if isinstance(item, Advice) else _advice(item) for item in several)

    def _reply_to(self, request: AdviceRequest, index: int) -> Reply:
        if callable(self.reply):
            return self.reply(request)
        if not isinstance(self.reply, Sequence):
            return self.reply
        if index >= len(self.reply):
            raise AdviceError(f"Question {index + 1} has no reply: the script has {len(self.reply)}; write more.")
        return self.reply[index]


def _restore(cls: type[ScriptedAdvisor], reply: Any, space: Any, requests: list[AdviceRequest]) -> ScriptedAdvisor:
    advisor = cls(reply, space=space)
    advisor.requests.extend(requests)
    return advisor


def _advice(params: Params) -> Advice:
    return Advice(params=params, rationale="scripted", source="scripted", origin="scripted")


def repeater(params: Params | None = None) -> ScriptedAdvisor:
    """Give the same point for ever: *params*, else the default configuration or the middle of the space."""
    return ScriptedAdvisor(partial(_repeat, params=params))


def out_of_bounds() -> ScriptedAdvisor:
    """Give numbers far beyond their bounds, now below and now above, and the first choice of each category."""
    return ScriptedAdvisor(_beyond)


def failing_region_lover(region: Params | Callable[[Params], bool]) -> ScriptedAdvisor:
    """
    Give points from a region where trials fail.

    Args:
        region: Values that a failing configuration has, or a predicate that tells one.
    """
    return ScriptedAdvisor(partial(_within, region=region))


def malformed() -> ScriptedAdvisor:
    """Give what cannot be used, another kind of `malformed_replies` each turn."""
    return ScriptedAdvisor(_nonsense)


def slow(wait: Callable[[], object]) -> ScriptedAdvisor:
    """Call *wait* (`functools.partial(time.sleep, 2)`, the `wait` of an event) before each answer, a random point."""
    return ScriptedAdvisor(partial(_late, wait=wait))


def always_raising(error: Exception | None = None) -> ScriptedAdvisor:
    """Raise *error* at every question; without one, `AdviceError` and exceptions that are none of ours in turn."""
    return ScriptedAdvisor(_raising if error is None else error)


def worst_region_lover() -> ScriptedAdvisor:
    """Copy the neighbourhood of the worst complete trial; a random point before there is one."""
    return ScriptedAdvisor(_near_the_worst)


def narrower() -> ScriptedAdvisor:
    """Propose random points, and narrow the search space as often and as far as it is allowed."""
    return ScriptedAdvisor(_narrow)


HOSTILE: Mapping[str, Callable[[], ScriptedAdvisor]] = {
    "repeater": repeater,
    "out-of-bounds": out_of_bounds,
    "malformed": malformed,
    "always-raising": always_raising,
    "worst-region-lover": worst_region_lover,
    "narrower": narrower,
}
"""The hostile advisors that need no argument, by name: to parametrize a test with."""


def malformed_replies(space: SearchSpace) -> dict[str, list[Params]]:
    """Return one reply of each kind that cannot be used as it is, by name."""
    values: dict[str, Any] = {
        "text": "as usual",
        "not a number": math.nan,
        "infinite": -math.inf,
        "none": None,
        "boolean": True,
        "list": (0.5, 0.5),
        "object": {"value": 0.5},
        "huge": 10**400,
    }
    return {
        "no answer": [],
        "no values": [{}],
        "missing names": [dict.fromkeys(list(space)[1:], 0)],
        "unknown names": [{"no such parameter": 1.0, "": None}],
        **{name: [dict.fromkeys(space, value)] for name, value in values.items()},
    }


def _rng(request: AdviceRequest) -> np.random.Generator:
    return generator(request.seed, "hostile", request.turn)


def _repeat(request: AdviceRequest, params: Params | None) -> Reply:
    if params is not None:
        return params
    default = request.space.default_params()
    return default if default is not None else _at(request.space, dict.fromkeys(request.space, 0.5))


def _beyond(request: AdviceRequest) -> Reply:
    params: dict[str, Any] = {}
    for name, parameter in request.space.items():
        if isinstance(parameter, Categorical):
            params[name] = parameter.choices[0]
        else:
            far = 10.0 * (parameter.high - parameter.low + 1.0)
            params[name] = parameter.high + far if request.turn % 2 else parameter.low - far
    return params


def _within(request: AdviceRequest, region: Params | Callable[[Params], bool]) -> Reply:
    rng = _rng(request)
    if not callable(region):
        return {**request.space.sample(rng), **region}
    points = (request.space.sample(rng) for _ in range(10_000))
    point = next(filter(region, points), None)
    return AdviceError("No point of 10000 lies in the region; give a larger one.") if point is None else point


def _nonsense(request: AdviceRequest) -> Reply:
    replies = list(malformed_replies(request.space).values())
    return replies[request.turn % len(replies)]


def _late(request: AdviceRequest, wait: Callable[[], object]) -> Reply:
    wait()
    return request.space.sample(_rng(request))


def _raising(request: AdviceRequest) -> Reply:
    errors = [AdviceError("No advice today."), RuntimeError("boom"), KeyError("x"), TimeoutError("too late")]
    return errors[request.turn % len(errors)]


def _near_the_worst(request: AdviceRequest) -> Reply:
    rng = _rng(request)
    ranked = request.history.ranked()
    if not ranked:
        return request.space.sample(rng)
    worst = {name: value for name, value in ranked[-1].params.items() if name in request.space}
    positions = {
        name: request.space[name].to_unit(value) + 0.02 * float(rng.standard_normal())
        for name, value in worst.items()
        if request.space[name].contains(value)
    }
    if positions and all(isinstance(request.space[name], Categorical) for name in positions):  # no step leaves one
        positions[list(positions)[int(rng.integers(len(positions)))]] = float(rng.random())
    return _at(request.space, positions)


def _narrow(request: AdviceRequest) -> Reply:
    edits = tuple(
        SpaceEdit(name, leeway.low[1], leeway.high[0], "because I can") for name, leeway in request.leeways.items()
    )
    return Advice(params=request.space.sample(_rng(request)), source="scripted", origin="scripted", edits=edits)


def _at(space: SearchSpace, positions: Mapping[str, float]) -> dict[str, Scalar]:
    """Return the configuration at *positions* in [0, 1], by parameter name; 0.5 where none is given."""
    params: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if space.is_active(name, params):
            params[name] = parameter.from_unit(positions.get(name, 0.5))
    return params
