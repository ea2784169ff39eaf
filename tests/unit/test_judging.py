"""
Judging and failures: what TPE and the failed trials have to say about a configuration.
"""

import numpy as np
import optuna
import pytest

from sllmbo._random import generator
from sllmbo.history import History, Observation
from sllmbo.samplers import AdvisedSampler, Bernoulli, LLMTPESampler, study_history
from sllmbo.samplers._ask import is_near
from sllmbo.samplers._convert import to_distributions
from sllmbo.samplers._edits import Box
from sllmbo.samplers._feasible import Feasibility, is_known
from sllmbo.samplers._judge import expected_improvement, margin, turned_down
from sllmbo.samplers._record import REFUSED, SOURCE, TURNED_DOWN
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.testing import ScriptedAdvisor

SPACE = SearchSpace({"x": Float(0.0, 1.0, default=0.5), "y": Float(0.0, 1.0, default=0.5)})


def bowl(trial):
    x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
    return (x - 0.2) ** 2 + (y - 0.2) ** 2


def around(centre):
    """An advisor that proposes points around *centre*, never the same."""

    def points(request):
        rng = generator(request.seed, request.turn)
        return [{name: centre + 0.1 * float(rng.random()) for name in request.space} for _ in range(request.n)]

    return ScriptedAdvisor(points)


def served(study):
    return [trial.user_attrs[SOURCE] for trial in study.trials]


def run(advisor, **arguments):
    sampler = LLMTPESampler(advisor, space=SPACE, init="default", mixing=Bernoulli(0.5), seed=3, **arguments)
    study = optuna.create_study(sampler=sampler)
    study.optimize(bowl, n_trials=60)
    return study


def test_the_margin_grows_from_nothing_to_a_half():
    """Nothing is vetoed before 12 trials, and never more than half of the space."""
    margins = [margin(n) for n in range(2000)]
    assert {0.0} == set(margins[:13])
    assert sorted(margins) == margins
    assert 0.49 < margins[-1] < 0.5


def test_candidates_in_a_bad_region_are_turned_down_with_the_reason():
    """TPE serves in place of an advisor that proposes where trials were poor, and the trial says why."""
    study = run(around(0.85))
    reasons = [t.user_attrs[TURNED_DOWN] for t in study.trials[30:] if TURNED_DOWN in t.user_attrs]
    assert reasons
    assert any("promise more" in reason for trial in reasons for reason in trial)
    assert "scripted" not in served(study)[30:]


def test_candidates_in_a_good_region_are_not_turned_down():
    """Where TPE itself would go, the advisor's candidates pass."""
    study = run(around(0.15))
    assert served(study)[13:].count("scripted") > 5


def crowd(*groups, direction="maximize"):
    """A history of points around each (centre, value, n), whose values differ a little."""
    rng = np.random.default_rng(0)
    made = [
        ({name: centre + 0.04 * float(rng.random()) for name in SPACE}, value + 0.01 * float(rng.random()))
        for centre, value, n in groups
        for _ in range(n)
    ]
    return History(direction, tuple(Observation(i, p, state="complete", value=v) for i, (p, v) in enumerate(made)))


def test_a_proposal_among_good_trials_passes_however_many_they_are():
    """Next to the best of many good trials there is more to expect than where trials were poor."""
    history = crowd((0.2, 1.0, 10), (0.8, 0.2, 10))
    good, bad = turned_down(
        Box(SPACE, SPACE), history, [{"x": 0.26, "y": 0.24}, {"x": 0.82, "y": 0.82}], seed=0, turn=9
    )
    assert "" == good
    assert "promise more" in bad


def test_another_proposal_where_many_were_mediocre_is_turned_down():
    """An advisor that goes on around the default, which others have long bettered, has no more to expect there."""
    history = crowd((0.5, 0.5, 15), (0.2, 1.0, 5))
    (reason,) = turned_down(Box(SPACE, SPACE), history, [{"x": 0.52, "y": 0.51}], seed=0, turn=9)
    assert "promise more" in reason


def test_the_promise_is_that_of_scikit_learns_gaussian_process():
    """Mean and deviation, and with them the expected improvement, are those of its regressor with the same kernel."""
    from scipy.stats import norm
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    rng = np.random.default_rng(1)
    places, points = rng.random((30, 3)), rng.random((20, 3))
    values = rng.permutation(30).astype(float)
    process = GaussianProcessRegressor(Matern(0.3 * 3**0.5, nu=2.5), alpha=0.2, optimizer=None)
    process.fit(places, norm.ppf((values + 0.5) / 30))
    mean, deviation = process.predict(points, return_std=True)
    z = (mean - process.predict(places).max()) / deviation
    expected = deviation * (z * norm.cdf(z) + norm.pdf(z))
    found = expected_improvement(places, values, points, active=3)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_categories_of_other_types_and_unknown_values_are_judged_too():
    """Choices that are equal but of other types are apart, and what a trial lacks counts as the middle."""
    space = SearchSpace({"k": Categorical([1, True, None]), "x": Float(0.0, 1.0)})
    trials = [({"k": (1, True)[i % 2], "x": i / 30}, float(i % 2)) for i in range(28)] + [({"z": 3}, 0.0)] * 2
    history = History(
        "maximize", tuple(Observation(i, p, state="complete", value=v) for i, (p, v) in enumerate(trials))
    )
    bad, good = turned_down(Box(space, space), history, [{"k": 1, "x": 0.5}, {"k": True, "x": 0.5}], seed=0, turn=1)
    assert bad
    assert not good


def test_what_exists_under_a_condition_is_judged_by_its_own_values():
    """In the branch with the most and the best trials, good values pass and bad ones do not; branches may nest."""
    space = SearchSpace(
        {
            "model": Categorical(["svm", "tree"]),
            "kernel": Categorical(["rbf", "linear"], condition=When("model", ["svm"])),
            "gamma": Float(0.0, 1.0, condition=When("kernel", ["rbf"])),
            "depth": Int(1, 9, condition=When("model", ["tree"])),
        }
    )
    svm = {"model": "svm", "kernel": "rbf"}
    trials = [({**svm, "gamma": i / 30}, 1.0 - abs(i / 30 - 0.2)) for i in range(30)]
    trials += [({"model": "tree", "depth": 1 + i}, 0.1 * i) for i in range(4)]
    history = History(
        "maximize", tuple(Observation(i, p, state="complete", value=v) for i, (p, v) in enumerate(trials))
    )
    judged = [{**svm, "gamma": 0.215}, {**svm, "gamma": 0.95}, {"model": "svm", "kernel": "linear"}]
    good, bad, unknown = turned_down(Box(space, space), history, judged, seed=0, turn=1)
    assert ["", ""] == [good, unknown]
    assert "promise more" in bad


def test_of_very_many_trials_a_part_judges():
    """At 3,000 trials the promise is worked out from some of them, the best among these."""
    history = crowd((0.2, 1.0, 10), (0.8, 0.2, 3000))
    reasons = turned_down(Box(SPACE, SPACE), history, [{"x": 0.26, "y": 0.24}, {"x": 0.82, "y": 0.82}], seed=0, turn=9)
    assert ["", True] == [reasons[0], bool(reasons[1])]


def test_without_judging_nothing_is_turned_down():
    """An advisor that is not judged serves all of its turns."""
    study = run(around(0.85), judging=False)
    assert not [t for t in study.trials if TURNED_DOWN in t.user_attrs]
    assert served(study)[30:].count("scripted") > 5


def test_near_means_every_parameter():
    """Two configurations are next to each other if all reals are within 1 % of their scale and all else is equal."""
    space = SearchSpace({"lr": Float(1e-4, 1.0, log=True), "n": Int(1, 9), "k": Categorical(["a", "b"])})
    tried = {"lr": 0.01, "n": 3, "k": "a"}
    assert is_near({"lr": 0.0105, "n": 3, "k": "a"}, tried, space)
    assert not is_near({"lr": 0.0105, "n": 4, "k": "a"}, tried, space)
    assert not is_near({"lr": 0.0105, "n": 3, "k": "b"}, tried, space)
    assert not is_near({"lr": 0.02, "n": 3, "k": "a"}, tried, space)
    assert not is_near({"lr": 0.0105, "n": 3}, tried, space)


def test_feasibility_learns_a_limit():
    """From 60 trials of which those with x + y > 1 failed, far points on either side are told apart."""
    rng = np.random.default_rng(0)
    points = [dict(zip("xy", map(float, rng.random(2)), strict=True)) for _ in range(60)]
    history = History(
        "minimize",
        tuple(
            Observation(i, p, state="failed" if p["x"] + p["y"] > 1 else "complete", value=None)
            for i, p in enumerate(points)
        ),
    )
    fine, bad = Feasibility(to_distributions(SPACE), history).of([{"x": 0.2, "y": 0.2}, {"x": 0.9, "y": 0.9}])
    assert fine > 0.8
    assert bad < 0.2


def test_one_failure_is_no_evidence():
    """With a single failed trial nothing is known, and everything counts as feasible."""
    history = History("minimize", (Observation(0, {"x": 0.1, "y": 0.1}, state="failed"),))
    feasibility = Feasibility(to_distributions(SPACE), history)
    assert not is_known(history)
    assert [1.0] == feasibility.of([{"x": 0.1, "y": 0.1}]).tolist()


def test_a_parameter_that_has_no_part_in_failing_is_left_out():
    """Where only one category fails, no value of another parameter makes it likelier to work."""
    space = SearchSpace({"k": Categorical(["a", "b"]), "x": Float(0.0, 1.0)})
    points = [{"k": "ab"[i % 2], "x": i / 40} for i in range(20)]
    history = History(
        "minimize",
        tuple(Observation(i, p, state="failed" if p["k"] == "a" else "complete") for i, p in enumerate(points)),
    )
    odds = Feasibility(to_distributions(space), history).of([{"k": "a", "x": 1.0}, {"k": "b", "x": 1.0}])
    assert odds[0] < 0.1
    assert odds[1] > 0.9


def test_the_choice_none_is_no_missing_parameter():
    """Failures on another branch, which lacks the parameter, say nothing against its choice None."""
    branches = [{"est": "svm"}, *({"est": "rf", "mf": mf} for mf in ("sqrt", None))]
    points = [branches[0] if i % 2 else branches[1 + i // 2 % 2] for i in range(30)]
    history = History(
        "minimize", tuple(Observation(i, p, state="failed" if i % 2 else "complete") for i, p in enumerate(points))
    )
    mf = optuna.distributions.CategoricalDistribution(("sqrt", None))
    one, other = Feasibility({"mf": mf}, history).of([{"mf": "sqrt"}, {"mf": None}])
    assert one == other


def test_far_from_all_trials_the_odds_are_even():
    """What nobody has tried is neither safe nor forbidden."""
    points = [{"x": 0.01 * i, "y": 0.02 * (i % 5)} for i in range(20)]
    history = History(
        "minimize",
        tuple(Observation(i, p, state="failed" if p["x"] > 0.1 else "complete") for i, p in enumerate(points)),
    )
    assert Feasibility(to_distributions(SPACE), history).of([{"x": 0.95, "y": 0.95}])[0] == pytest.approx(0.5, abs=0.1)


def test_values_of_other_ranges_and_types_are_no_obstacle():
    """Trials of another space, and fixed parameters, are looked at as far as they have a meaning."""
    space = SearchSpace({"lr": Float(1e-4, 1.0, log=True), "k": Categorical(["a", "b"]), "n": Int(1, 4)})
    odd = [{"lr": -3.0, "k": "c"}, {"lr": 1e300, "n": "many"}, {"k": "a", "n": 10**6}, {"lr": 0.1}]
    history = History(
        "minimize", tuple(Observation(i, p, state="failed" if i < 2 else "complete") for i, p in enumerate(odd))
    )
    distributions = {**to_distributions(space), "fixed": optuna.distributions.FloatDistribution(1.0, 1.0)}
    odds = Feasibility(distributions, history).of([{"lr": 0.1, "k": "a", "n": 2, "fixed": 1.0}])
    assert 0.0 < odds[0] < 1.0


def half_fails(trial):
    x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
    if x + y > 1.0:
        raise MemoryError("too large")
    return -x - y  # the best values are at the edge of what fails


def test_four_of_five_trials_are_where_the_objective_works():
    """Where half of the space fails and the optimum lies at its edge, trials 20 to 50 stay in the other half."""
    shares = []
    for seed in range(10):
        study = optuna.create_study(sampler=AdvisedSampler(None, space=SPACE, init="default", seed=seed))
        study.optimize(half_fails, n_trials=50, catch=MemoryError)
        shares.append(np.mean([trial.state.name == "COMPLETE" for trial in study.trials[20:]]))
    assert np.mean(shares) >= 0.8
    assert min(shares) >= 0.75


def branches_fail(trial):
    kernel = trial.suggest_categorical("kernel", ["poly", "rbf"])
    gamma = trial.suggest_float(f"gamma_{kernel}", 0.0, 1.0)
    if gamma > 0.4:
        raise ValueError("does not converge")
    return (gamma - 0.2) ** 2


@pytest.mark.parametrize("seed", range(3))
def test_a_parameter_under_a_condition_is_drawn_where_trials_work(seed):
    """What TPE draws by itself, beside the joint values, stays away from failures too."""
    study = optuna.create_study(sampler=AdvisedSampler(None, init="default", seed=seed))
    study.optimize(branches_fail, n_trials=50, catch=ValueError)
    states = [trial.state.name for trial in study.trials[20:]]
    assert states.count("COMPLETE") >= 0.8 * len(states)


def test_a_partner_without_a_joint_density_stays_away_from_failures_too():
    """Univariate TPE is steered parameter by parameter."""
    partner = optuna.samplers.TPESampler(multivariate=False)
    study = optuna.create_study(sampler=AdvisedSampler(None, space=SPACE, init="default", seed=0, partner=partner))
    study.optimize(half_fails, n_trials=50, catch=MemoryError)
    states = [trial.state.name for trial in study.trials[20:]]
    assert states.count("COMPLETE") >= 0.6 * len(states)


def test_without_failures_the_partner_is_untouched():
    """Being aware of failures changes no trial of a study that has none."""
    studies = []
    for aware in (True, False):
        sampler = AdvisedSampler(None, space=SPACE, init="default", seed=1, failure_aware=aware)
        study = optuna.create_study(sampler=sampler)
        study.optimize(bowl, n_trials=25)
        studies.append([trial.params for trial in study.trials])
    assert studies[0] == studies[1]


def test_what_was_turned_down_is_told_to_the_advisor():
    """Each later question has what judging turned down and why, read from the study alone."""
    advisor = around(0.85)
    study = run(advisor)
    refused = {t.number: t.user_attrs[REFUSED] for t in study.trials if REFUSED in t.user_attrs}
    assert any("promise more" in refusals[0]["reason"] for refusals in refused.values())
    for history in (study_history(study), advisor.requests[-1].history):
        told = {o.number: [(dict(r.params), r.reason) for r in o.turned_down] for o in history if o.turned_down}
        expected = {n: [(r["params"], r["reason"]) for r in given] for n, given in refused.items() if n < len(history)}
        assert expected == told


@pytest.mark.filterwarnings("ignore:.*the partner serves")
def test_that_all_proposals_were_repeats_is_told_to_the_advisor():
    """Where nothing but repeats came, the partner serves, and the next question says which trial was repeated."""
    default = {"x": 0.5, "y": 0.5}
    advisor = ScriptedAdvisor(lambda request: [default] * request.n)
    study = optuna.create_study(
        sampler=LLMTPESampler(advisor, space=SPACE, init="default", mixing=Bernoulli(1.0), seed=3)
    )
    study.optimize(bowl, n_trials=3)
    reasons = [[r.reason for r in o.turned_down] for o in advisor.requests[-1].history]
    assert [[], ["repeats trial 0"] * advisor.requests[1].n] == reasons


def test_trials_that_fail_before_they_have_parameters_say_nothing_of_where_trials_fail():
    """No data, no GPU: the partner tries what it would have tried without an eye on failures."""

    def objective(trial):
        if trial.number in (3, 5, 7, 9):
            raise OSError("the data were not there")
        return bowl(trial)

    tried = []
    for aware in (True, False):
        study = optuna.create_study(sampler=AdvisedSampler(None, space=SPACE, seed=0, failure_aware=aware))
        study.optimize(objective, n_trials=25, catch=(OSError,))
        tried.append([trial.params for trial in study.trials])
    assert tried[0] == tried[1]
    assert not is_known(study_history(study))


def test_trials_that_fail_by_chance_forbid_nothing():
    """Where a third of the trials fails wherever they are, most of the space is still as good as what worked."""
    rng = generator(0, "by chance")
    points = [SPACE.sample(rng) for _ in range(160)]
    states = ["failed" if rng.random() < 1 / 3 else "complete" for _ in range(60)]
    observations = [
        Observation(number, points[number], state=state, value=None if state == "failed" else 0.0)
        for number, state in enumerate(states)
    ]
    feasibility = Feasibility(to_distributions(SPACE), History("minimize", tuple(observations)))
    odds = feasibility.of(points[60:])
    assert odds.max() < 0.9
    assert (odds >= feasibility.enough).mean() > 0.5
