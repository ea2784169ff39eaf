"""
What a sampler keeps of the trials that it has read.
"""

import optuna
import pytest
from optuna.trial import TrialState

from sllmbo.samplers import AdvisedSampler
from sllmbo.samplers._reader import Reader
from sllmbo.samplers._turns import all_trials, free_turn


def a_study(seed):
    study = optuna.create_study(sampler=AdvisedSampler(None, init="default", seed=seed))
    for index in range(6):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0 + index)
        if index == 2:
            trial.suggest_categorical("k", ["a", "b"])
        if index == 3:
            study.tell(trial, state=TrialState.FAIL)
        elif index != 4:  # which is still running
            study.tell(trial, float(index))
    study.enqueue_trial({"x": 0.5})
    return study


@pytest.mark.parametrize("before", [None, 5, 2])
def test_a_reader_that_has_read_before_finds_what_a_fresh_one_finds(before):
    """Trials are read once, in any state and of several studies in turns, and nothing is missed or told twice."""
    reader, studies = Reader(None), [a_study(0), a_study(1)]
    for _ in range(2):
        for study in studies:
            trials = all_trials(study)
            assert reader.history(study, trials, before=before) == Reader(None).history(study, trials, before=before)
            assert reader.space(trials) == Reader(None).space(trials)
            assert reader.free_turn(trials, len(trials)) == free_turn(trials, len(trials))
            study.tell(study.ask(), 1.0)


def test_a_trial_that_ends_late_is_read_then():
    """A trial is told as running until it has ended, also where later ones have ended before it."""
    reader, study = Reader(None), a_study(0)
    assert "running" == reader.history(study, all_trials(study))[4].state
    study.tell(4, 7.0)
    told = reader.history(study, all_trials(study))
    assert 7.0 == told[4].value
    assert told == Reader(None).history(study, all_trials(study))
