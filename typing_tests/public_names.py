"""
A program that uses the public names as the documentation shows them; mypy must accept it.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna

import sllmbo
from sllmbo.advisors import Advice, AdviceRequest, Advisor, SpaceDesign
from sllmbo.space import When
from sllmbo.testing import ScriptedAdvisor

space = sllmbo.SearchSpace(
    {
        "C": sllmbo.Float(1e-3, 1e3, log=True, default=1.0),
        "kernel": sllmbo.Categorical(["rbf", "poly"], default="rbf"),
        "degree": sllmbo.Int(2, 5, default=3, condition=When("kernel", ["poly"])),
    }
)


class Middle:
    """An advisor of one's own needs no base class."""

    def design_space(self, task: sllmbo.Task) -> SpaceDesign:
        return SpaceDesign(space=space)

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        return [Advice(params=request.space.default_params() or {}, rationale="in the middle")]


advisors: list[Advisor] = [Middle(), ScriptedAdvisor({"C": 1.0}), ScriptedAdvisor([{"C": 1.0}, ValueError("no")])]
sampler: optuna.samplers.BaseSampler = sllmbo.LLMTPESampler(llm=advisors[0], seed=0)
