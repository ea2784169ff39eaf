"""
Ask, tell, tune: the engine behind every door.
"""

from sllmbo.tuner.command import Command
from sllmbo.tuner.objective import tune_objective
from sllmbo.tuner.result import TuneResult
from sllmbo.tuner.tuner import Tuner
from sllmbo.tuner.tuning import tune

__all__ = ["Command", "TuneResult", "Tuner", "tune", "tune_objective"]
