"""
The advisor kit on the advisors that need no chat model.
"""

from dataclasses import replace

import pytest

from sllmbo.advisors import AdviceRequest
from sllmbo.advisors.replay import RecordingAdvisor, ReplayAdvisor
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.testing import ScriptedAdvisor, out_of_bounds, repeater, worst_region_lover
from sllmbo.testing.conformance import SPACE, TASK, AdvisorTestCase


class TestScriptedAdvisor(AdvisorTestCase):
    @pytest.fixture
    def advisor(self):
        return ScriptedAdvisor({"rate": 0.05, "depth": 4}, space=SPACE)


class TestRuleAdvisor(AdvisorTestCase):
    task = replace(TASK, estimator="lightgbm")

    @pytest.fixture
    def advisor(self):
        return RuleAdvisor()


class TestRecordingAdvisor(AdvisorTestCase):
    @pytest.fixture
    def advisor(self, tmp_path):
        return RecordingAdvisor(ScriptedAdvisor({"rate": 0.05}, space=SPACE), tmp_path / "recording.jsonl")


class TestReplayAdvisor(AdvisorTestCase):
    @pytest.fixture
    def advisor(self, tmp_path):
        recorder = RecordingAdvisor(ScriptedAdvisor({"rate": 0.05}, space=SPACE), tmp_path / "recording.jsonl")
        recorder.design_space(self.task)
        for request in self.requests():
            recorder.suggest(request)
        return ReplayAdvisor(recorder.path)


class TestRepeater(AdvisorTestCase):
    @pytest.fixture
    def advisor(self):
        return repeater()


class TestOutOfBounds(AdvisorTestCase):
    @pytest.fixture
    def advisor(self):
        return out_of_bounds()


class TestWorstRegionLover(AdvisorTestCase):
    @pytest.fixture
    def advisor(self):
        return worst_region_lover()


BROKEN = {
    "says nothing": (lambda request: [], "test_opening_is_answered", {"n": 1}),
    "says too much": (lambda request: [{}] * 5, "test_next_is_answered", {"n": 4}),
    "says nonsense": (lambda request: {"rate": "high"}, "test_next_is_answered", {"n": 1}),
    "raises what it likes": (lambda request: KeyError("x"), "test_every_history_is_answered_or_refused", {}),
    "changes the past": (lambda request: request.history[0].params.clear() or {}, "test_request_is_left_alone", {}),
    "does not pickle": (lambda request: {}, "test_a_copy_answers", {}),
}


class _Caught(Exception):
    """An advisor failed the kit."""


def _run(test, advisor, arguments):
    try:
        getattr(AdvisorTestCase(), test)(advisor, **arguments)
    except (Exception, pytest.fail.Exception) as error:
        raise _Caught from error


@pytest.mark.parametrize("name", BROKEN)
def test_the_kit_finds_a_broken_advisor(name):
    """For each rule of the kit, an advisor that breaks it does not pass, where one that keeps it does."""
    function, test, arguments = BROKEN[name]
    _run(test, ScriptedAdvisor({}), arguments)
    with pytest.raises(_Caught):
        _run(test, ScriptedAdvisor(function), arguments)


def test_the_kit_finds_a_space_without_defaults():
    """A designed space that has no default configuration does not pass."""
    space = type(SPACE)({name: replace(parameter, default=None) for name, parameter in SPACE.items()})
    with pytest.raises(AssertionError):
        AdvisorTestCase().test_designed_space_has_a_default_configuration(ScriptedAdvisor({}, space=space))


def test_the_kit_asks_each_question_once():
    """The requests differ, so that a recording of them holds each."""
    requests = list(AdvisorTestCase.requests())
    assert all(isinstance(request, AdviceRequest) for request in requests)
    assert len(requests) == sum(1 for i, one in enumerate(requests) if one not in requests[:i])
