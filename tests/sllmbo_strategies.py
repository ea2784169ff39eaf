"""
One Hypothesis strategy per value type.
"""

import math

import numpy as np
from hypothesis import strategies as st

from sllmbo.advisors import AdviceRequest
from sllmbo.errors import SpaceError
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task

LIMIT = 1e9
names = st.text(min_size=1, max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


def json_values(*, allow_nan=False):
    """Anything that JSON can say."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=allow_nan) | st.text(max_size=8)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )


@st.composite
def floats(draw, *, condition=None, steps=True):
    """A real-valued parameter: plain, on a log scale, or in steps; with or without a default."""
    form = draw(st.sampled_from(["plain", "log", "step"] if steps else ["plain", "log"]))
    positive = st.floats(1e-9, LIMIT)
    bounds = sorted(draw(st.tuples(*[positive if form == "log" else st.floats(-LIMIT, LIMIT)] * 2)))
    step = None
    if form == "step":
        step = draw(st.sampled_from([0.05, 0.1, 0.25, 1.0, 3.7]) | st.floats(1e-3, 1e3))
        low = draw(st.floats(-1e6, 1e6)) * step
        bounds = [low, low + draw(st.integers(0, 1000)) * step]
    bare = Float(*bounds, log=form == "log", step=step)
    return Float(
        bare.low,
        bare.high,
        log=bare.log,
        step=bare.step,
        default=draw(st.none() | st.floats(0, 1).map(bare.from_unit)),
        description=draw(st.text(max_size=8)),
        condition=condition,
    )


@st.composite
def ints(draw, *, condition=None, steps=True):
    """An integer parameter: plain, on a log scale, or in steps; with or without a default."""
    form = draw(st.sampled_from(["plain", "log", "step"] if steps else ["plain", "log"]))
    limit = draw(st.sampled_from([10, 10**6, 2**62]))
    low, high = sorted(draw(st.tuples(*[st.integers(1 if form == "log" else -limit, limit)] * 2)))
    step = draw(st.integers(1, 50)) if form == "step" else 1
    bare = Int(low, high, log=form == "log", step=step)
    return Int(
        low,
        high,
        log=bare.log,
        step=step,
        default=draw(st.none() | st.floats(0, 1).map(bare.from_unit)),
        description=draw(st.text(max_size=8)),
        condition=condition,
    )


@st.composite
def categoricals(draw, *, condition=None):
    """One of up to five choices of any kind, with or without a default."""
    kinds = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text(max_size=4)
    kinds |= st.sampled_from(["1", "true", "null", "True", "None", "0.5", '"1"'])
    choices = draw(st.lists(kinds, min_size=1, max_size=5, unique_by=lambda choice: (isinstance(choice, bool), choice)))
    default = draw(st.sampled_from([None, *choices]))
    return Categorical(choices, default=default, description=draw(st.text(max_size=8)), condition=condition)


def parameters(*, condition=None, steps=True):
    """A parameter of any kind."""
    return (
        floats(condition=condition, steps=steps)
        | ints(condition=condition, steps=steps)
        | categoricals(condition=condition)
    )


@st.composite
def spaces(draw, *, conditions=True, steps=True, min_size=0):
    """A search space of up to five parameters, some of which exist only beside values of an earlier one."""
    space = {}
    for name in draw(st.lists(names, min_size=min_size, max_size=5, unique=True)):
        condition = None
        parents = [other for other, parameter in space.items() if isinstance(parameter, Categorical)]
        if conditions and parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            values = draw(st.lists(st.sampled_from(space[parent].choices), min_size=1, max_size=3))
            condition = When(parent, values)
        space[name] = draw(parameters(condition=condition, steps=steps))
    return SearchSpace(space)


seeds = st.integers(0, 2**32 - 1)


@st.composite
def params(draw, space):
    """A configuration that *space* contains."""
    return space.sample(np.random.default_rng(draw(seeds)))


@st.composite
def histories(draw, space, *, max_size=8):
    """Trials of every state, in order; some hold other names than the space."""
    told = []
    for number in range(draw(st.integers(0, max_size))):
        state = draw(st.sampled_from(["complete", "complete", "pruned", "failed", "running"]))
        value = draw(st.floats(-LIMIT, LIMIT)) if state in ("complete", "pruned") else None
        tried = draw(params(space)) | draw(st.dictionaries(st.just("gone"), st.integers(), max_size=1))
        reason = draw(st.sampled_from(["", "MemoryError: 3 GiB", "ValueError: “a” is bad"])) if value is None else ""
        details = draw(st.dictionaries(st.sampled_from(["std", "train_value", "seconds"]), st.floats(0, 9)))
        source = draw(st.sampled_from(["default", "llm", "tpe"]))
        told.append(Observation(number, tried, state=state, value=value, reason=reason, source=source, details=details))
    return History(draw(st.sampled_from(["minimize", "maximize"])), tuple(told))


@st.composite
def tasks(draw, direction="maximize"):
    """A task card, with or without facts of the data."""
    facts = DataFacts(kind="classification", n_rows=1000, n_features=draw(st.integers(1, 9)), n_classes=2)
    return Task(
        description=draw(st.text(max_size=20)),
        estimator=draw(st.sampled_from(["", "lightgbm", "random_forest"])),
        direction=direction,
        data=draw(st.none() | st.just(facts)),
        n_trials=draw(st.none() | st.integers(1, 99)),
        estimator_params=draw(st.dictionaries(names, json_values(), max_size=3)),
    )


@st.composite
def advice_requests(draw, space=None):
    """A question to an advisor."""
    space = draw(spaces(min_size=1)) if space is None else space
    history = draw(histories(space))
    return AdviceRequest(
        task=draw(tasks(history.direction)),
        space=space,
        history=history,
        n=draw(st.integers(1, 5)),
        purpose=draw(st.sampled_from(["opening", "next"])),
        turn=draw(st.integers(0, 99)),
        seed=draw(seeds),
    )


def repaired(space, values):
    """What *space* makes of *values*, or None where it refuses them."""
    try:
        return space.repair(values)[0]
    except SpaceError:
        return None


def close(one, other):
    """Equal up to rounding, and exactly where they are no real numbers."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
