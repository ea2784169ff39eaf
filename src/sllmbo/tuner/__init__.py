"""
Ask, tell, tune: the engine behind every door.
"""

from sllmbo.tuner.result import TuneResult
from sllmbo.tuner.tuner import Tuner
from sllmbo.tuner.tuning import tune

__all__ = ["TuneResult", "Tuner", "tune"]
