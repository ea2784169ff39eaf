"""
The promises of search spaces, for any of them.
"""

import json
import math
import pickle

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sllmbo.errors import SpaceError
from sllmbo.space import Categorical, Float, Int, SearchSpace, When, json_schema
from sllmbo_strategies import (
    categoricals,
    close,
    json_values,
    parameters,
    params,
    repaired,
    scalars,
    seeds,
    spaces,
)

with_params = spaces().flatmap(lambda space: st.tuples(st.just(space), params(space)))


def labelled(space, values):
    """The configuration as a chat model gives it: categories by their labels."""
    said = dict(values)
    for name, parameter in space.items():
        if isinstance(parameter, Categorical) and name in said:
            said[name] = dict(zip(map(repr, parameter.choices), parameter.labels(), strict=True))[repr(said[name])]
    return said


@given(space=spaces(), seed=seeds)
def test_a_sampled_point_is_contained(space, seed):
    """Sampling gives a configuration of the space, the same for the same generator."""
    point = space.sample(np.random.default_rng(seed))
    assert space.contains(point)
    assert point == space.sample(np.random.default_rng(seed))


@given(case=with_params)
def test_repair_leaves_contained_params_alone(case):
    """Repair changes no configuration that the space contains."""
    space, point = case
    assert (point, ()) == space.repair(point)
    assert list(map(type, point.values())) == list(map(type, space.repair(point)[0].values()))


@given(data=st.data(), space=spaces())
def test_repair_lands_inside_or_refuses(data, space):
    """Any values, of known and unknown names, give a contained configuration or SpaceError; repair is idempotent."""
    names = st.sampled_from([*space, "unknown"])
    values = data.draw(st.dictionaries(names, json_values(allow_nan=True) | st.just(10**400) | st.floats(-1e3, 1e3)))
    point = repaired(space, values)
    if point is not None:
        assert space.contains(point)
        assert (point, ()) == space.repair(point)


@given(data=st.data(), space=spaces())
def test_repairs_name_every_change(data, space):
    """What repair reports as JSON is strict JSON, and without a report the values were taken as they are."""
    values = data.draw(st.dictionaries(st.sampled_from([*space, "unknown"]), scalars | st.just(math.nan)))
    try:
        point, repairs = space.repair(values)
    except SpaceError:
        return
    json.dumps([repair.to_json() for repair in repairs], allow_nan=False)
    changed = {repair.parameter for repair in repairs}
    assert {name for name in {*point, *values} if name not in values or name not in point} <= changed
    assert all(close(point[name], values[name]) for name in point if name not in changed)


@given(value=json_values(allow_nan=True), parameter=parameters())
def test_parameters_repair_lands_inside_or_refuses(value, parameter):
    """A single parameter contains what it repaired, and keeps what it contains."""
    assert isinstance(parameter.contains(value), bool)
    try:
        used = parameter.repair(value)
    except SpaceError:
        assert not parameter.contains(value)
        return
    assert parameter.contains(used)
    assert used == parameter.repair(used)
    if parameter.contains(value):
        assert close(used, value)


@given(value=json_values(allow_nan=True) | st.text())
def test_what_is_no_configuration_is_refused(value):
    """Anything but values by name is refused with SpaceError, as a configuration and as a description of a space."""
    space = SearchSpace({"x": Float(0, 1)})
    assert isinstance(repaired(space, value), dict | None)
    try:
        SearchSpace.from_json(value)
    except SpaceError:
        return
    assert value == {}


@given(space=spaces())
def test_json_and_pickle_round_trips_are_equal(space):
    """A space comes back equal, in the same order, from JSON text and from a pickle."""
    for copy in (SearchSpace.from_json(json.loads(json.dumps(space.to_json()))), pickle.loads(pickle.dumps(space))):
        assert space == copy
        assert hash(space) == hash(copy)
        assert list(space) == list(copy)
        assert repr(space) == repr(copy)


@given(space=spaces())
def test_equal_spaces_have_equal_hashes(space):
    """Order is no part of equality, and so none of the hash."""
    turned = (
        SearchSpace(dict(sorted(space.items(), key=lambda item: item[1].condition is not None))) if space else space
    )
    assert space == turned
    assert hash(space) == hash(turned)


@given(case=with_params)
def test_schema_accepts_contained_params(case):
    """The JSON Schema is valid and accepts each configuration in the words of a chat model, which repair reads back."""
    space, point = case
    schema = json_schema(space)
    jsonschema.Draft202012Validator.check_schema(schema)
    said = labelled(space, point)
    jsonschema.Draft202012Validator(schema).validate(said)
    assert point == space.repair(json.loads(json.dumps(said)))[0]


@given(data=st.data(), space=spaces(conditions=False, steps=False))
def test_schema_accepts_nothing_else(data, space):
    """Without steps and conditions, which it says in words, the JSON Schema accepts exactly what is contained."""
    said = labelled(space, data.draw(params(space)))
    for name in data.draw(st.sets(st.sampled_from([*space, "unknown"]), max_size=2)):
        said[name] = data.draw(json_values())
    if data.draw(st.booleans()) and said:
        said.pop(data.draw(st.sampled_from(sorted(said))))
    meant = {}
    for name, value in said.items():
        parameter = space.get(name)
        if isinstance(parameter, Categorical):  # a label means its choice, and nothing else has a meaning
            value = parameter.repair(value) if isinstance(value, str) and value in parameter.labels() else [value]
        elif isinstance(parameter, Int) and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number
        meant[name] = value
    validator = jsonschema.Draft202012Validator(json_schema(space))
    assert space.contains(meant) == validator.is_valid(said)


@given(parameter=parameters(), seed=seeds)
def test_unit_positions_are_the_inverse_up_to_rounding(parameter, seed):
    """A value goes to [0, 1] and back to itself."""
    value = SearchSpace({"x": parameter}).sample(np.random.default_rng(seed))["x"]
    position = parameter.to_unit(value)
    assert 0.0 <= position <= 1.0
    back = parameter.from_unit(position)
    if isinstance(parameter, Categorical):
        assert (type(value), value) == (type(back), back)
    else:
        scale = max(abs(parameter.low), abs(parameter.high), 1e-300)
        assert math.isclose(value, back, rel_tol=1e-9, abs_tol=1e-9 * scale if not parameter.log else 0.5)


@given(parameter=parameters(), position=st.floats(-0.5, 1.5))
def test_every_position_has_a_value(parameter, position):
    """from_unit gives a contained value for any position, also beyond [0, 1]."""
    assert parameter.contains(parameter.from_unit(position))


@given(parameter=categoricals())
def test_labels_are_distinct_text_that_repair_reads(parameter):
    """Each choice has a label of its own, and its label means it."""
    labels = parameter.labels()
    assert len(set(labels)) == len(parameter.choices)
    for choice, label in zip(parameter.choices, labels, strict=True):
        assert (type(choice), choice) == (type(parameter.repair(label)), parameter.repair(label))


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1e-5", 0.00001), (".001", 0.001), ("1", 1.0), ("1.0", 1.0), (" 5e3 ", 5000), ("'0.50'", 0.5), ("0", "0")],
)
def test_numbers_among_categories_are_read_in_any_spelling(text, meant):
    """Text that is no choice means the number among the choices that it spells, and never a boolean."""
    choices = Categorical([0.00001, 0.001, 1.0, 5000, 0.5, "0", 0, True])
    assert (type(meant), meant) == (type(choices.repair(text)), choices.repair(text))
    with pytest.raises(SpaceError):
        Categorical([True, False, 2, math.inf]).repair("1.0")
    with pytest.raises(SpaceError):
        Categorical([1.0, math.inf]).repair("1e999")


@given(space=spaces())
def test_defaults_are_known_together_or_not_at_all(space):
    """The default configuration is contained, and None exactly if an active parameter lacks its default."""
    default = space.default_params()
    if default is not None:
        assert space.contains(default)
        assert all(close(value, space[name].default) for name, value in default.items())
    else:
        assert any(p.default is None for p in space.values())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Float(2, 1), "low must not exceed high"),
        (lambda: Float(0, 1, log=True), "a log scale needs low > 0"),
        (lambda: Float(-1, 1, log=True), "a log scale needs low > 0"),
        (lambda: Float(0, 1, step=0), "step must be positive"),
        (lambda: Float(0, 1, step=-0.1), "step must be positive"),
        (lambda: Float(0, 1, step=math.nan), "not finite"),
        (lambda: Float(0, 1, step="often"), "is not a number"),
        (lambda: Float(1, 2, log=True, step=0.5), "log and step exclude each other"),
        (lambda: Float(0, 1e9, step=0.001), "too fine"),
        (lambda: Float(-1e308, 1e308), "too wide"),
        (lambda: Float(math.nan, 1), "not finite"),
        (lambda: Float(0, math.inf), "not finite"),
        (lambda: Float("low", 1), "is not a number"),
        (lambda: Float(None, 1), "is not a number"),
        (lambda: Float(False, 1), "is not a number"),
        (lambda: Float(0, 1, default=1.5), r"The default 1.5 lies outside \[0.0, 1.0\]"),
        (lambda: Float(0, 1, default=-0.5), "lies outside"),
        (lambda: Float(0, 1, default=math.nan), "lies outside"),
        (lambda: Float(0, 1, default=10**400), "lies outside"),
        (lambda: Float(0, 1, step=0.25, default=0.3), r"in steps of 0.25"),
        (lambda: Int(2, 1), "low must not exceed high"),
        (lambda: Int(0, 8, log=True), "a log scale needs low > 0"),
        (lambda: Int(0, 8, step=0), "step must be positive"),
        (lambda: Int(0.5, 8), "an integer is needed"),
        (lambda: Int(0, 8.5), "an integer is needed"),
        (lambda: Int(0, 8, step=0.5), "an integer is needed"),
        (lambda: Int(0, math.inf), "not finite"),
        (lambda: Int(1, 8, log=True, step=2), "log and step exclude each other"),
        (lambda: Int(0, 8, limit=7), "high must not exceed limit"),
        (lambda: Int(0, 8, default=9), "lies outside"),
        (lambda: Int(0, 8, default=2.0), "lies outside"),
        (lambda: Int(0, 8, default=True), "lies outside"),
        (lambda: Int(0, 8, step=2, default=3), "in steps of 2"),
        (lambda: Categorical([]), "at least one choice"),
        (lambda: Categorical(["a", "a"]), "appears twice"),
        (lambda: Categorical([1, 1.0]), "appears twice"),
        (lambda: Categorical([(1, 2)]), "is not text, a number"),
        (lambda: Categorical([math.nan]), "is not text, a number"),
        (lambda: Categorical(["a"], default="b"), "none of the choices"),
        (lambda: Categorical([1, 2], default=True), "none of the choices"),
        (lambda: When("kernel", []), "has no values"),
        (lambda: SearchSpace({"": Float(0, 1)}), "must be text"),
        (lambda: SearchSpace({1: Float(0, 1)}), "must be text"),
        (lambda: SearchSpace({"x": 5}), "use Float, Int or Categorical"),
        (lambda: SearchSpace({"x": Float(0, 1, condition=When("x", [0.5]))}), "does not come before it"),
        (lambda: SearchSpace({"x": Float(0, 1, condition=When("y", [1])), "y": Int(0, 1)}), "does not come before it"),
        (
            lambda: SearchSpace({"y": Int(0, 1), "x": Float(0, 1, condition=When("y", [2]))}),
            "being 2, which it can never be",
        ),
        (lambda: SearchSpace.from_json({"x": {"type": "real", "low": 0, "high": 1}}), "which is not a float, int or"),
        (lambda: SearchSpace.from_json({"x": {"type": "float", "low": 0}}), "which is not a float, int or"),
        (lambda: SearchSpace.from_json({"x": {"type": "int", "low": 3, "high": 1}}), "Parameter 'x': Int"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_it(build, message):
    """Each rule of a parameter and of a space refuses with SpaceError, in words."""
    with pytest.raises(SpaceError, match=message):
        build()


def test_true_is_not_one_in_conditions():
    """A parameter that exists beside True does not exist beside 1."""
    space = SearchSpace({"c": Categorical([1, True]), "x": Float(0, 1, default=0.5, condition=When("c", [True]))})
    assert [False, True] == [space.is_active("x", {"c": choice}) for choice in (1, True)]
    assert {"c": 1} == space.repair({"c": 1})[0]


def test_integers_beyond_the_precision_of_floats_are_kept():
    """Repair leaves a large integer of the space as it is."""
    assert 2**60 + 1 == Int(0, 2**62).repair(2**60 + 1)


def test_integers_may_be_given_as_text():
    """Bounds as a form gives them are read as integers."""
    assert Int(1, 10) == Int("1", "10.0")
