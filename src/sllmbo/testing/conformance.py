"""
The conformance kit for those who write an advisor: subclass `AdvisorTestCase`, give it the advisor, run pytest.

Example:
    >>> import pytest
    >>> from sllmbo.testing import ScriptedAdvisor
    >>> class TestMyAdvisor(AdvisorTestCase):
    ...     @pytest.fixture
    ...     def advisor(self):
    ...         return ScriptedAdvisor({"rate": 0.1, "depth": 3})
"""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import pytest

from sllmbo.advisors import Advice, AdviceRequest, Advisor, SpaceDesign
from sllmbo.errors import AdviceError, SpaceError
from sllmbo.history import Direction, History, Observation
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task
from sllmbo.usage import Usage

Purpose = Literal["opening", "next"]

SPACE = SearchSpace(
    {
        "rate": Float(1e-3, 0.3, log=True, default=0.1, description="learning rate"),
        "depth": Int(1, 12, default=6),
        "subsample": Float(0.5, 1.0, step=0.1, default=1.0),
        "booster": Categorical(("tree", "linear", None), default="tree"),
        "leaves": Int(2, 256, log=True, default=31, condition=When("booster", ["tree"])),
    }
)
TASK = Task(
    description="boosting on a small table",
    metric="accuracy",
    direction="maximize",
    data=DataFacts(kind="classification", n_rows=800, n_features=12, n_numeric=10, n_categorical=2, n_classes=2),
    n_trials=20,
)
_POINT = {"rate": 0.1, "depth": 6, "subsample": 0.9, "booster": "tree", "leaves": 31}
_COMPLETE = (
    Observation(0, _POINT, state="complete", value=0.81, source="default", details={"std": 0.02, "seconds": 1.5}),
    Observation(1, _POINT | {"rate": 0.02}, state="complete", value=0.84, source="llm"),
)
_UNFINISHED = (
    Observation(2, {}, state="failed", reason="MemoryError: out of memory", source="tpe"),
    Observation(3, _POINT | {"depth": 12}, state="failed", reason="nan"),
    Observation(4, _POINT | {"depth": 1}, state="pruned", value=0.5, reason="pruned at step 3", source="tpe"),
    Observation(5, _POINT | {"depth": 9}, state="pruned"),
    Observation(6, {"depth": 2, "no longer tuned": "x"}, state="running", source="llm"),
)


def histories(direction: Direction) -> Mapping[str, History]:
    """Return histories of each kind that a study can have, by name."""
    repeated = tuple(replace(_COMPLETE[number % 2], number=number) for number in range(60))
    return {
        "empty": History(direction),
        "complete": History(direction, _COMPLETE),
        "failed": History(direction, _UNFINISHED[:2]),
        "pruned": History(direction, _UNFINISHED[2:4]),
        "running": History(direction, _UNFINISHED[4:]),
        "mixed": History(direction, _COMPLETE + _UNFINISHED),
        "long": History(direction, repeated),
    }


class AdvisorTestCase:
    """
    What every advisor must do. Subclasses give the fixture `advisor`, and their own `task` and `space` if they need to.

    An advisor answers the opening of a study and its next turn; other questions it may also refuse with `AdviceError`.
    """

    task: Task = TASK
    space: SearchSpace = SPACE

    @pytest.fixture
    def advisor(self) -> Advisor:
        """The advisor under test."""
        raise NotImplementedError("Give the fixture `advisor`.")

    @classmethod
    def request(cls, history: str = "empty", *, purpose: Purpose = "next", n: int = 1) -> AdviceRequest:
        """Return the question that the kit asks about the history of that name."""
        told = histories(cls.task.direction)[history]
        return AdviceRequest(task=cls.task, space=cls.space, history=told, n=n, purpose=purpose, turn=len(told), seed=7)

    @classmethod
    def requests(cls) -> Iterator[AdviceRequest]:
        """Return all questions that the kit asks."""
        for history in histories(cls.task.direction):
            for n in (1, 4):
                yield cls.request(history, n=n)
                yield cls.request(history, n=n, purpose="opening")

    def test_is_an_advisor(self, advisor: Advisor) -> None:
        """It has the protocol's methods."""
        assert isinstance(advisor, Advisor)

    @pytest.mark.parametrize("n", [1, 4])
    def test_opening_is_answered(self, advisor: Advisor, n: int) -> None:
        """The opening of a study gets one and up to n pieces of advice."""
        self._check(advisor, self.request(purpose="opening", n=n))

    @pytest.mark.parametrize("n", [1, 4])
    def test_next_is_answered(self, advisor: Advisor, n: int) -> None:
        """A turn after complete trials gets one and up to n pieces of advice."""
        self._check(advisor, self.request("complete", n=n))

    def test_every_history_is_answered_or_refused(self, advisor: Advisor) -> None:
        """Failed, pruned, running and many trials get valid advice, or AdviceError and nothing else."""
        for request in self.requests():
            with contextlib.suppress(AdviceError):
                self._check(advisor, request)

    def test_request_is_left_alone(self, advisor: Advisor) -> None:
        """Asking changes nothing in the request."""
        request = self.request("mixed", n=4)
        before = copy.deepcopy(request)
        with contextlib.suppress(AdviceError):
            advisor.suggest(request)
        assert before == request

    def test_threads_may_ask_at_once(self, advisor: Advisor) -> None:
        """Questions from several threads are all answered."""
        request = self.request("complete", n=4)
        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(self._check, advisor, request) for _ in range(8)]:
                future.result()

    def test_a_copy_answers(self, advisor: Advisor) -> None:
        """It can be pickled, for workers in other processes, and the copy answers."""
        self._check(pickle.loads(pickle.dumps(advisor)), self.request("complete"))  # noqa: S301

    def test_designed_space_has_a_default_configuration(self, advisor: Advisor) -> None:
        """A search space for the task has a default for each parameter, or the task is refused with AdviceError."""
        try:
            design = advisor.design_space(self.task)
        except AdviceError:
            return
        assert isinstance(design, SpaceDesign)
        assert len(design.space) > 0
        assert design.space.default_params() is not None
        assert SearchSpace.from_json(design.space.to_json()) == design.space

    def _check(self, advisor: Advisor, request: AdviceRequest) -> None:
        answer = list(advisor.suggest(request))
        assert 1 <= len(answer) <= request.n
        for advice in answer:
            assert isinstance(advice, Advice)
            assert advice.source, "advice needs a source: one word for reports"
            assert isinstance(advice.usage, Usage)
            try:
                params, _ = request.space.repair(advice.params)
            except SpaceError as error:
                pytest.fail(f"{dict(advice.params)!r} cannot be repaired: {error}")
            assert request.space.contains(params)
