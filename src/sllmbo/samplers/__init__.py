"""
Optuna's side of the house: samplers that let a study ask an advisor.
"""

from sllmbo.choosing import Choice
from sllmbo.samplers._reader import study_history
from sllmbo.samplers._repeats import chosen
from sllmbo.samplers.advised import AdvisedSampler
from sllmbo.samplers.llm import LLMSampler
from sllmbo.samplers.llm_tpe import LLMTPESampler
from sllmbo.samplers.mixing import Adaptive, Alternating, Bernoulli, MixingPolicy

__all__ = [
    "Adaptive",
    "AdvisedSampler",
    "Alternating",
    "Bernoulli",
    "Choice",
    "LLMSampler",
    "LLMTPESampler",
    "MixingPolicy",
    "chosen",
    "study_history",
]
