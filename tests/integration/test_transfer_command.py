"""
Transfer on the command line: studies that share a storage learn from one another, and their recordings replay.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import optuna
import pandas as pd
import pytest

from sllmbo.tuner.transfer import TRANSFER
from sllmbo_process import sllmbo


def done(*arguments, cwd):
    run = sllmbo(*arguments, cwd=cwd)
    assert 0 == run.returncode, run.stderr
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tables of one kind, the first tuned in a storage that others may share."""
    folder = tmp_path_factory.mktemp("shared")
    rng = np.random.default_rng(0)
    for name in ("north", "south"):
        frame = pd.DataFrame(rng.normal(size=(60, 20)), columns=[f"f{i}" for i in range(20)])
        frame["price"] = frame["f0"] + rng.normal(scale=2.0, size=60)
        frame.to_csv(folder / f"{name}.csv", index=False)
    done("tune", "north.csv", *COMMON, "--study", "north", cwd=folder)
    return folder


COMMON = ["--target", "price", "--estimator", "ridge", "--cv", "2", "--trials", "8", "--storage", "sqlite:///all.db"]


def of_study(folder, name, database="all.db"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / database}")


def test_a_shared_storage_transfers_and_its_recording_replays(folder) -> None:
    """The new study says what it begins with, its second trial is the earlier best, and all is replayed from a file."""
    told = done("tune", "south.csv", *COMMON, "--study", "south", "--record", "south.jsonl", "--json", cwd=folder)
    study = of_study(folder, "south")

    assert "begins with the best of earlier studies: north" in told.stderr
    assert 1 == json.loads(told.stdout)["sources"]["transfer"]["trials"]
    assert of_study(folder, "north").best_params == study.trials[1].params
    again = done("replay", "south.jsonl", cwd=folder)
    assert "All 8 trials came out equal" in again.stdout + again.stderr


def test_no_transfer_begins_with_the_default_alone(folder) -> None:
    """With --no-transfer, and in a storage of its own, a study begins as ever."""
    shutil.copy(folder / "all.db", folder / "copy.db")
    shared = [*COMMON[:-1], "sqlite:///copy.db", "--study", "alone", "--json"]
    alone = done("tune", "south.csv", *shared, "--no-transfer", cwd=folder)
    own = done("tune", "south.csv", *COMMON[:-2], "--json", cwd=folder)

    assert "transfer" not in json.loads(alone.stdout)["sources"]
    assert "transfer" not in json.loads(own.stdout)["sources"]
    assert TRANSFER not in of_study(folder, "alone", "copy.db").user_attrs
