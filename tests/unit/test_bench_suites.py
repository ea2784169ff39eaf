"""
The suites of benchmark problems: what is recorded comes out again, and what is fitted or drawn is always the same.
"""

import math
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import optuna
import pytest

from sllmbo.advisors.paper import joint_trials
from sllmbo.benchmarks import surrogate as surrogates
from sllmbo.benchmarks._docstrings import PACKAGES, PER_PACKAGE, corpus
from sllmbo.benchmarks._series import forecast
from sllmbo.benchmarks.modalities import Modalities
from sllmbo.benchmarks.paper import PaperTasks
from sllmbo.benchmarks.paper_tasks import SPACES, TASKS, TRIALS, find_problem, recorded_advisor, recorded_trials
from sllmbo.benchmarks.reference_sampler import ReferenceSampler
from sllmbo.benchmarks.surrogate import PaperSurrogate, fit_surrogate, to_inputs
from sllmbo.errors import ConfigError
from sllmbo.samplers._convert import to_distributions

BESIDE = Path(__file__).parents[3] / "shared" / "data"
DATA = Path(os.environ.get("SLLMBO_DATA") or BESIDE)
EXACT = ("concrete_strength-lightgbm", "adult_census-lightgbm", "energy-lightgbm")

recorded = pytest.mark.skipif(not (DATA / TRIALS).exists(), reason="the recorded trials are not here; set SLLMBO_DATA")
trained = pytest.mark.skipif(
    not ((DATA / "concrete_strength.parquet").exists() and find_spec("lightgbm") and find_spec("pyarrow")),
    reason="the paper's data (set SLLMBO_DATA), LightGBM or pyarrow is not here",
)


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setenv("SLLMBO_DATA", str(DATA))


def record_of(problem):
    task, estimator = find_problem(problem, suite="paper", names=PaperTasks().problems())
    return recorded_trials(task, estimator)


# --- all suites


@pytest.mark.parametrize("suite", [PaperTasks, PaperSurrogate, Modalities])
def test_unknown_problems_are_refused_by_name(suite):
    """A suite names the problem that it does not have, and those that it has."""
    with pytest.raises(ConfigError, match=r"no problem 'hills'; it has .*-"):
        suite().load("hills")


def test_a_missing_data_folder_is_told_with_the_remedy(monkeypatch, tmp_path):
    """Without the data, one sentence says which variable must name which folder."""
    monkeypatch.delenv("SLLMBO_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"SLLMBO_DATA is not set .*'concrete_strength\.parquet'; set it"):
        PaperTasks().load("concrete_strength-lightgbm")
    monkeypatch.setenv("SLLMBO_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=r"has no file 'sllmbo_paper_trials\.csv\.gz'"):
        recorded_trials(TASKS[0], "lightgbm")


# --- the paper's tasks


@recorded
@trained
@pytest.mark.parametrize("problem", EXACT)
def test_recorded_values_come_out_to_the_last_bit(data, problem):
    """The three configurations of the record with the smallest trees have the recorded value when trained again."""
    training = PaperTasks().load(problem)
    trials = sorted(record_of(problem), key=lambda trial: 2 ** trial[0]["max_depth"] * trial[0]["n_estimators"])[:3]
    assert [value for _, value in trials] == [training.evaluate(params, 0) for params, _ in trials]


@trained
def test_the_cards_tell_what_is_trained(data):
    """The aggregates on a card are those of the training part, and a held-out score is given for the defaults."""
    problem = PaperTasks().load("concrete_strength-lightgbm")
    assert (824, 6, "mae", "minimize") == (
        problem.task.data.n_rows,
        problem.task.data.n_features,
        problem.task.metric,
        problem.task.direction,
    )
    assert problem.best is None
    assert 9.0 < problem.truth(problem.space.default_params()) < 11.0


@trained
@pytest.mark.skipif(find_spec("xgboost") is None, reason="XGBoost is not here")
def test_training_twice_gives_one_value(data):
    """XGBoost's sampling of rows and columns has a fixed seed."""
    problem = PaperTasks().load("concrete_strength-xgboost")
    params = problem.space.default_params() | {"subsample": 0.8, "colsample_bytree": 0.8}
    assert problem.evaluate(params, 0) == problem.evaluate(params, 1)


@recorded
def test_what_was_recorded_lies_in_the_spaces(data):
    """Every configuration of the record is one of the paper's spaces, and each problem has about 200 of them."""
    for problem in PaperSurrogate().problems():
        task, estimator = find_problem(problem, suite="", names=(problem,))
        trials = recorded_trials(task, estimator)
        assert 190 < len(trials) < 220
        assert all(SPACES[estimator].contains(params) and math.isfinite(value) for params, value in trials)


# --- the surrogate


def test_inputs_hold_only_what_has_an_effect():
    """LightGBM's subsample is no input, and leaves beyond 2^max_depth make no difference; all lie between 0 and 1."""
    space = SPACES["lightgbm"]
    rng = np.random.default_rng(0)
    points = [space.sample(rng) for _ in range(50)]
    inputs = to_inputs(space, points)
    assert (50, len(space) - 1) == inputs.shape
    assert inputs.min() >= 0.0
    assert inputs.max() <= 1.0
    shallow = points[0] | {"max_depth": 4, "num_leaves": 16, "subsample": 0.7}
    same = to_inputs(space, [shallow, shallow | {"num_leaves": 3000, "subsample": 1.0}])
    assert list(same[0]) == list(same[1])


@recorded
def test_the_surrogate_orders_what_it_has_not_seen(data):
    """Fitted on four fifths of the record, it predicts the rest; fitted again, it predicts the same."""
    trials = record_of("concrete_strength-xgboost")
    seen, unseen = [t for i, t in enumerate(trials) if i % 5], trials[::5]
    surrogate, again = (fit_surrogate(SPACES["xgboost"], seen, "minimize") for _ in range(2))
    predicted = surrogate.predict([params for params, _ in unseen])
    values = [value for _, value in unseen]
    assert np.corrcoef(np.argsort(np.argsort(predicted)), np.argsort(np.argsort(values)))[0, 1] > 0.95
    assert list(predicted) == list(again.predict([params for params, _ in unseen]))


@recorded
def test_regret_is_zero_at_the_best_and_one_at_the_median(data):
    """The best and the median are predictions: no configuration drawn is better, and half of them are worse."""
    problem = PaperSurrogate().load("concrete_strength-xgboost")
    rng = np.random.default_rng(1)
    points = [problem.space.sample(rng) for _ in range(200)]
    regrets = [problem.regret(problem.truth(params)) for params in points]
    assert min(regrets) > 0.0
    assert 0.8 < float(np.median(regrets)) < 1.2
    assert problem.truth(points[0]) == problem.evaluate(points[0], 3)
    assert surrogates._fitted("concrete_strength-xgboost").best == problem.best


# --- the reference's sampler


def study_of(sampler, estimator, n_trials=50):
    study = optuna.create_study(sampler=sampler)
    for _ in range(n_trials):
        trial = study.ask(to_distributions(SPACES[estimator]))
        study.tell(trial, sum(trial.params.values()))
    return [trial.params for trial in study.trials]


@recorded
@pytest.mark.parametrize("estimator", SPACES)
def test_the_coin_falls_as_in_the_published_runs(data, estimator):
    """With the seed of the published runs, the same trials are joint proposals, and the others are mixed or TPE's."""
    advisor = recorded_advisor(f"concrete_strength-{estimator}")
    proposals = [dict(params) for params in advisor.proposals.values()]
    tried = study_of(ReferenceSampler(proposals, seed=42), estimator)
    assert joint_trials(len(SPACES[estimator])) == tuple(i for i in range(1, 50) if tried[i] in proposals)
    assert proposals[0] == tried[0]


def test_mixtures_take_the_chat_models_values_out_of_one_proposal():
    """In a mixed trial the values of the chat model, told by their digits, are of one proposal; others are TPE's."""
    rng = np.random.default_rng(0)
    proposals = [SPACES["xgboost"].sample(rng) for _ in range(60)]
    mixed = 0
    for params in study_of(ReferenceSampler(proposals, seed=1), "xgboost"):
        senders = {
            index
            for index, proposal in enumerate(proposals)
            if any(params[name] == value for name, value in proposal.items() if isinstance(value, float))
        }
        assert len(senders) <= 1
        mixed += bool(senders) and params not in proposals
    assert mixed > 10


def test_the_same_seed_gives_the_same_trials_and_no_proposals_are_refused():
    """Coin and TPE are seeded; a chat model without a proposal is a mistake."""
    rng = np.random.default_rng(0)
    proposals = [SPACES["xgboost"].sample(rng) for _ in range(3)]
    first, second, other = (study_of(ReferenceSampler(proposals, seed=seed), "xgboost", 20) for seed in (5, 5, 6))
    assert first == second
    assert first != other
    with pytest.raises(ConfigError, match="at least one"):
        ReferenceSampler([])


# --- modalities


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "text", "series"])
def test_problems_learn_and_repeat_themselves(name):
    """The defaults have one value, which is not their held-out score, and another configuration beats them."""
    needs = {"digits-cnn": "torch", "series": "statsmodels"}.get(name)
    if needs:
        pytest.importorskip(needs)
    problem = Modalities().load(name)
    better = {
        "digits-mlp": {"batch_size": 16, "width": 128},
        "digits-cnn": {"learning_rate": 0.01},
        "text": {"analyzer": "char_wb", "ngram_max": 4, "sublinear_tf": True},
        "series": {"difference": "year"},
    }[name]
    default = problem.space.default_params()
    value = problem.evaluate(default, 0)
    assert name in Modalities().problems()
    assert value == problem.evaluate(default, 1)
    assert value != problem.truth(default)
    sign = 1.0 if problem.task.direction == "maximize" else -1.0
    assert sign * problem.evaluate(default | better, 0) > sign * value


def test_every_branch_of_the_spaces_can_be_evaluated():
    """Configurations with the conditional parameters have a value too."""
    branches = {
        "digits-mlp": {"solver": "sgd", "momentum": 0.5},
        "text": {"penalty": "elasticnet", "l1_ratio": 0.5},
    }
    for name, branch in branches.items():
        problem = Modalities().load(name)
        params = problem.space.default_params() | branch
        assert problem.space.contains(params)
        assert math.isfinite(problem.evaluate(params, 0))


def test_the_sentences_are_many_and_name_no_package():
    """Each package gives as many sentences, and none says where it comes from."""
    sentences = corpus()
    assert PER_PACKAGE * len(PACKAGES) == len(sentences.texts) == len(sentences.packages)
    words = {word.strip(".,:;`()").lower() for text in sentences.texts for word in text.split()}
    assert not words & {"numpy", "pandas", "scipy", "sklearn", "np", "pd"}


def test_a_yearly_pattern_is_forecast():
    """A sine with a trend, differenced by the year, goes on."""
    months = np.arange(252.0)
    levels = 0.1 * months + np.sin(months * math.tau / 12)
    params = {"difference": "year", "n_lags": 12, "kernel": "linear", "C": 1.0, "epsilon": 0.01}
    noise = 0.01 * np.random.default_rng(0).normal(size=len(levels))
    ahead = forecast((levels + noise)[:240], params)
    assert np.abs(ahead - levels[240:]).max() < 0.1


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not here")
def test_the_network_leaves_the_state_of_others_alone():
    """Training, also where it diverges, changes neither the random state nor the number of threads of PyTorch."""
    import torch

    problem = Modalities().load("digits-cnn")
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    params = problem.space.default_params() | {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05}
    assert problem.evaluate(params, 0) < 2.0
    with pytest.raises(FloatingPointError, match="diverged"):
        problem.evaluate(params | {"learning_rate": 1e30}, 0)
    assert torch.equal(before, torch.get_rng_state())
    assert threads == torch.get_num_threads()
