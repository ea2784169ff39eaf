"""
Optuna's own sampler kits, on our samplers, with advisors from good to hostile.
"""

import pytest
from optuna.samplers import TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from sllmbo._random import generator
from sllmbo.samplers import LLMSampler, LLMTPESampler
from sllmbo.space import Float, SearchSpace
from sllmbo.testing import ScriptedAdvisor, always_raising, malformed

UNRELATED = SearchSpace({"declared_but_never_suggested": Float(0.0, 1.0, default=0.5)})


def valid():
    """An instant advisor with as many points of the space as were asked for."""

    def reply(request):
        rng = generator(request.seed, "kit", request.turn)
        return [request.space.sample(rng) for _ in range(request.n)]

    return ScriptedAdvisor(reply)


@pytest.fixture(params=[valid, always_raising, malformed], ids=lambda advisor: advisor.__name__)
def advisor(request):
    return request.param


class TestLLMSampler(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """The sampler that asks about every trial passes Optuna's kits, whatever its advisor does."""

    @pytest.fixture
    def sampler(self, advisor):
        return lambda: LLMSampler(advisor(), seed=0)


class TestLLMTPESampler(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """The sampler that mixes passes Optuna's kits, whatever its advisor does."""

    @pytest.fixture
    def sampler(self, advisor):
        return lambda: LLMTPESampler(advisor(), seed=0)


class TestDeclaredSpace(BasicSamplerTestCase):
    """A declared space that has nothing to do with what the objective suggests does no harm."""

    @pytest.fixture
    def sampler(self):
        return lambda: LLMSampler(valid(), space=UNRELATED, seed=0)


class TestRandomOpening(BasicSamplerTestCase):
    """The sampler passes the basic kit with an opening of random points as well."""

    @pytest.fixture
    def sampler(self):
        return lambda: LLMTPESampler(valid(), init="random", n_opening=3, seed=0)


class TestPrefetch(BasicSamplerTestCase):
    """The sampler passes the basic kit when its advisor is asked while trials run, whatever that one does."""

    @pytest.fixture
    def sampler(self, advisor):
        return lambda: LLMTPESampler(advisor(), seed=0, prefetch=True)


@pytest.mark.parametrize("kind", [LLMSampler, LLMTPESampler])
class TestJointSampling(RelativeSamplerTestCase):
    """Joint values come from the partner where a trial is the partner's, of the types that Optuna wants."""

    @pytest.fixture
    def sampler(self, kind):
        # The kit wants joint values from the second trial on, so TPE must not begin with random ones.
        return lambda: kind(valid(), partner=TPESampler(n_startup_trials=0), seed=0)
