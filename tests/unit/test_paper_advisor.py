"""
The joint proposals of the published runs are found by the coin of their sampler, and the digits agree.
"""

import csv
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sllmbo.advisors import AdviceRequest
from sllmbo.advisors.paper import CHAT_MODELS, PaperAdvisor, joint_trials
from sllmbo.errors import AdviceError, ConfigError
from sllmbo.history import History, Observation
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.task import Task

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "sllmbo_paper_trials.csv.gz"
TRIALS = Path(os.environ.get("SLLMBO_PAPER_TRIALS") or BESIDE)
N_PARAMETERS = {"lightgbm": 9, "xgboost": 7}
SPACE = SearchSpace({"rate": Float(0.01, 0.3), "depth": Int(3, 12)})

published = pytest.mark.skipif(not TRIALS.exists(), reason="the published trials are not here; set SLLMBO_PAPER_TRIALS")


def rows():
    with gzip.open(TRIALS, "rt", newline="") as file:
        return list(csv.DictReader(file))


def is_round(value):
    return isinstance(value, int) or len(repr(value).partition(".")[2]) <= 4


@pytest.fixture
def table(tmp_path):
    """A run of 50 trials of two parameters, of which those at the joint places are told apart by their depth."""
    with (tmp_path / "trials.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "model", "method", "trial", "params"])
        for trial in range(50):
            params = {"rate": 0.01 + trial / 1000, "depth": 3 + trial % 10}
            writer.writerow(["bowls", "tree", "llm_tpe_gpt4o_llm_init", trial, json.dumps(params)])
    return tmp_path / "trials.csv"


def request(*tried, n=1):
    observations = tuple(Observation(i, params, state="complete", value=0.5) for i, params in enumerate(tried))
    return AdviceRequest(task=Task(), space=SPACE, history=History("maximize", observations), n=n)


def test_proposals_are_played_in_order_and_once(table):
    """Whatever lies in the history is not proposed again, and after the last one there is no advice."""
    advisor = PaperAdvisor(table, task="bowls", estimator="tree")
    expected, tried = [dict(params) for params in advisor.proposals.values()], []
    while len(tried) < len(expected):
        tried.append(dict(advisor.suggest(request(*tried))[0].params))
    assert expected == tried
    with pytest.raises(AdviceError, match="have been tried"):
        advisor.suggest(request(*tried))


def test_several_are_the_next_several(table):
    """A batch holds the first proposals that are left, and says of each from which trial it is."""
    advisor = PaperAdvisor(table, task="bowls", estimator="tree")
    trials = list(advisor.proposals)
    batch = advisor.suggest(request(advisor.proposals[trials[0]], n=3))
    assert [f"gpt-4o (published trial {trial})" for trial in trials[1:4]] == [advice.origin for advice in batch]
    assert {"llm"} == {advice.source for advice in batch}


def test_proposals_of_another_space_are_no_advice(table):
    """Where no proposal has a meaning in the space, there is none."""
    advisor = PaperAdvisor(table, task="bowls", estimator="tree")
    with pytest.raises(AdviceError):
        advisor.suggest(replace(request(), space=SearchSpace({"other": Float(0, 1)})))
    with pytest.raises(AdviceError):
        advisor.design_space(Task())


def test_wrong_runs_are_refused(table, tmp_path):
    """A run that is not there, a method without the coin, and other files are refused by name."""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for wrong in [{"task": "hills"}, {"estimator": "forest"}, {"method": "tpe"}]:
        with pytest.raises(ConfigError, match=next(iter(wrong.values()))):
            PaperAdvisor(table, **{"task": "bowls", "estimator": "tree", **wrong})
    with pytest.raises(ConfigError, match="lacks columns"):
        PaperAdvisor(tmp_path / "other.csv", task="bowls", estimator="tree")
    with pytest.raises(ConfigError, match="cannot be read"):
        PaperAdvisor(tmp_path / "none.csv", task="bowls", estimator="tree")


@published
@pytest.mark.parametrize("estimator", N_PARAMETERS)
def test_the_coin_and_the_digits_name_the_same_trials(estimator):
    """The trials whose values are round in all seven runs with GPT-4o are the first one and the coin's."""
    run = [r for r in rows() if (r["model"], r["method"]) == (estimator, "llm_tpe_gpt4o_llm_init")]
    broken = {int(r["trial"]) for r in run if not all(map(is_round, json.loads(r["params"]).values()))}
    assert 7 == len({r["task"] for r in run})
    assert {0, *joint_trials(N_PARAMETERS[estimator])} == set(range(50)) - broken


@published
@pytest.mark.parametrize(("estimator", "n_joint"), [("lightgbm", 14), ("xgboost", 19)])
@pytest.mark.parametrize("method", CHAT_MODELS)
def test_every_published_run_has_its_joint_proposals(estimator, n_joint, method):
    """Each of the 28 runs gives as many proposals as it has joint trials, at the trials where they stand."""
    run = [r for r in rows() if (r["model"], r["method"]) == (estimator, method)]
    for task in {r["task"] for r in run}:
        recorded = {int(r["trial"]): json.loads(r["params"]) for r in run if r["task"] == task}
        proposals = PaperAdvisor(TRIALS, task=task, estimator=estimator, method=method).proposals
        assert n_joint == len(proposals)
        assert proposals == {trial: recorded[trial] for trial in joint_trials(N_PARAMETERS[estimator])}
