"""
The advisors by specification: who is asked in a benchmark.

Beside what `sllmbo tune --llm` takes there are scripted advisors, made anew for each study: the hostile ones, and
three of stated quality. *clone* gives the neighbourhood of the default configuration. *biased* knows the problem, but
wrongly in the same way each time: it gives the neighbourhood of a configuration that is better than 98 of 100, moved
by 0.15 of each numeric range (it looks at the true values to find it, so what it earns says nothing of a chat model).
*uninformed* draws uniformly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sllmbo._random import generator
from sllmbo.advisors import Advice, AdviceRequest, Advisor, choose_advisor
from sllmbo.advisors.choose import REPLAYS
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.advisors.paper import CHAT_MODELS, PaperAdvisor
from sllmbo.benchmarks.methods import Method
from sllmbo.benchmarks.problem import Problem
from sllmbo.errors import AdviceError, ConfigError, SllmboError
from sllmbo.space import Categorical, Scalar, SearchSpace
from sllmbo.testing import HOSTILE, ScriptedAdvisor, failing_region_lover

ADVISORS: Mapping[str, str] = {
    "rules": "documented rules, no chat model",
    "hostile:NAME": f"{', '.join(HOSTILE)} or failing-region-lover",
    "quality:NAME": "clone (of the default), biased (informed, but off the mark) or uninformed",
    "openings:FILE": "recorded openings by problem, then the partner",
    "paper:FILE:MODEL": f"the paper's recorded proposals of {' or '.join(CHAT_MODELS.values())}",
    "replay:FILE": "what was recorded; replay-lenient:FILE answers by turn where a question differs",
    "PROVIDER:NAME": "a chat model, its key from the environment; PROVIDER:NAME@URL: an OpenAI-compatible server",
}

_NEAR = 0.05
"""Standard deviation of a neighbourhood, as a share of each range."""
_OFFSET = 0.15
_SEEN = 200
"""Configurations of which the biased advisor takes the one that is better than 98 of 100."""

_TIMEOUT = 900.0
"""Seconds for a question: a benchmark waits, so that slowness is not mistaken for bad advice."""

_Make = Callable[[Problem, Method], Advisor]


@dataclass(frozen=True, slots=True)
class AdvisorSpec:
    """Who is asked, as it was written; `make` gives the advisor of one study."""

    text: str
    make: _Make
    chat_model: bool = False

    @property
    def file(self) -> Path | None:
        """The file that its advice is read from, if there is one."""
        kind, _, rest = self.text.partition(":")
        if kind == "paper":
            return Path(rest.rpartition(":")[0])
        return Path(rest) if kind == "openings" or self.text.startswith(REPLAYS) else None

    def check(self, method: Method) -> None:
        """
        Check that *method* can ask this advisor.

        Raises:
            ConfigError: If it needs a chat model or the paper's proposals, and this is none.
        """
        if method.base == "paper-reference" and not self.text.startswith("paper:"):
            raise ConfigError(
                f"The method 'paper-reference' replays the paper's proposals, and --advisor {self.text!r} has none; "
                "name them as paper:FILE:MODEL."
            )
        if self.chat_model:
            return
        if method.memory != "digest":
            raise ConfigError(
                f"The method {method.name!r} needs a chat model, but --advisor {self.text!r} is none; "
                "name one as PROVIDER:NAME."
            )
        if method.masked:
            raise ConfigError(
                f"The method {method.name!r} masks names for a chat model, but --advisor {self.text!r} is none; "
                "name one as PROVIDER:NAME."
            )


def read_advisor(text: str) -> AdvisorSpec:
    """
    Return the advisor that *text* specifies.

    Raises:
        ConfigError: If it specifies none.
        MissingExtra: If the provider's package is not installed.
    """
    kind, _, rest = text.partition(":")
    if text in ("rules", "offline"):
        return AdvisorSpec("rules", lambda *_: choose_advisor("offline"))
    if kind == "hostile":
        return AdvisorSpec(text, _hostile(text, rest))
    if kind == "quality":
        if rest not in _QUALITIES:
            raise ConfigError(f"--advisor {text!r} must be quality: and one of {', '.join(_QUALITIES)}.")
        return AdvisorSpec(text, _QUALITIES[rest])
    if kind == "openings":
        return AdvisorSpec(text, partial(_openings, _read_openings(Path(rest))))
    if kind == "paper":
        return AdvisorSpec(text, _paper(text, rest))
    if text.startswith(REPLAYS):
        choose_advisor(text)
        return AdvisorSpec(text, lambda *_: choose_advisor(text))
    if not rest:
        raise ConfigError(f"--advisor {text!r} must be one of {', '.join(ADVISORS)}.")
    name, _, url = text.partition("@")
    asked = partial(LLMAdvisor, name, base_url=url or None, timeout=_TIMEOUT)
    asked()  # a wrong name or a missing key shows here
    return AdvisorSpec(text, lambda _, method: asked(mask_names=method.masked, memory=method.memory), chat_model=True)


# Scripted advisors.


def _hostile(text: str, name: str) -> _Make:
    if name == "failing-region-lover":
        return lambda problem, _: failing_region_lover(partial(_fails, problem))
    if name not in HOSTILE:
        raise ConfigError(f"--advisor {text!r} must be hostile: and one of {', '.join(HOSTILE)}, failing-region-lover.")
    return lambda *_: HOSTILE[name]()


def _fails(problem: Problem, params: Mapping[str, Any]) -> bool:
    try:
        return not math.isfinite(problem.evaluate(params, 0))
    except SllmboError:
        raise
    except Exception:  # noqa: BLE001  # whatever a failing configuration raises
        return True


def _clone(problem: Problem, _: Method) -> Advisor:
    default = problem.space.default_params()
    if default is None:
        raise ConfigError(f"The problem {problem.name!r} has no default configuration for 'quality:clone'.")
    return ScriptedAdvisor(partial(_around, center=default))


def _biased(problem: Problem, _: Method) -> Advisor:
    return ScriptedAdvisor(partial(_around, center=_moved(problem, _good(problem))))


def _uninformed(*_: object) -> Advisor:
    return ScriptedAdvisor(_anywhere)


_QUALITIES: Mapping[str, _Make] = {"clone": _clone, "biased": _biased, "uninformed": _uninformed}


def _good(problem: Problem) -> Mapping[str, Scalar]:
    if problem.truth is None:
        raise ConfigError(f"The true values of {problem.name!r} are not known, which 'quality:biased' needs.")
    rng = generator(0, "biased", problem.name)
    drawn = [problem.space.sample(rng) for _ in range(_SEEN)]
    known = [(problem.truth(params), index) for index, params in enumerate(drawn) if not _fails(problem, params)]
    known.sort(reverse=problem.task.direction == "maximize")
    return drawn[known[len(known) // 50][1]]


def _moved(problem: Problem, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return *params* with each number moved by the same share of its range, towards the middle or beyond it."""
    rng = generator(0, "bias", problem.name)
    moved: dict[str, Scalar] = {}
    for name, value in params.items():
        parameter = problem.space[name]
        if isinstance(parameter, Categorical):
            moved[name] = value
            continue
        assert isinstance(value, (int, float))
        place = parameter.to_unit(value)
        step = _OFFSET if rng.random() < 0.5 else -_OFFSET
        moved[name] = parameter.from_unit(place + step if 0.0 <= place + step <= 1.0 else place - step)
    return moved


def _around(request: AdviceRequest, center: Mapping[str, Scalar]) -> list[dict[str, Scalar]]:
    rng = generator(request.seed, "quality", request.turn)
    return [_near(request.space, center, rng) for _ in range(request.n)]


def _near(space: SearchSpace, center: Mapping[str, Scalar], rng: np.random.Generator) -> dict[str, Scalar]:
    near: dict[str, Scalar] = {}
    for name, parameter in space.items():
        step, other = float(rng.standard_normal()), float(rng.random())
        if not space.is_active(name, near):
            continue
        value = center.get(name, parameter.from_unit(0.5))
        if isinstance(parameter, Categorical):
            near[name] = parameter.from_unit(other * 10.0) if other < 0.1 else value
        else:
            assert isinstance(value, (int, float))
            near[name] = parameter.from_unit(parameter.to_unit(value) + _NEAR * step)
    return near


def _anywhere(request: AdviceRequest) -> list[dict[str, Scalar]]:
    rng = generator(request.seed, "quality", request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]


# Recorded advice.


def _read_openings(path: Path) -> Mapping[str, Any]:
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
        return {name: list(task["opening"]) for name, task in tasks.items()}
    except OSError as error:
        raise ConfigError(f"The openings {str(path)!r} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f'The openings {str(path)!r} must be JSON as {{"tasks": {{NAME: {{"opening": [PARAMS, ...]}}}}}}.'
        ) from error


def _openings(tasks: Mapping[str, Any], problem: Problem, _: Method) -> Advisor:
    name = problem.name.rpartition(":")[2]
    if name not in tasks:
        raise ConfigError(f"No opening of {problem.name!r} is recorded; there are {', '.join(tasks)}.")
    return ScriptedAdvisor(partial(_opening, points=tasks[name]))


def _opening(request: AdviceRequest, points: Sequence[Mapping[str, Any]]) -> list[Advice]:
    if request.purpose != "opening":
        raise AdviceError("Only openings are recorded.")
    return [
        Advice(params=params, rationale="Recorded opening.", source="llm", origin="recorded opening")
        for params in points[: request.n]
    ]


def _paper(text: str, rest: str) -> _Make:
    path, _, model = rest.rpartition(":")
    methods = {name: method for method, name in CHAT_MODELS.items()}
    if model not in methods:
        raise ConfigError(f"--advisor {text!r} must be paper:FILE:MODEL with one of {', '.join(methods)}.")
    if not Path(path).is_file():
        raise ConfigError(f"The table {path!r} of --advisor {text!r} is no file; check the path.")

    def make(problem: Problem, _: Method) -> Advisor:
        task, _dash, estimator = problem.name.rpartition("-")
        return PaperAdvisor(path, task=_RECORDED_AS.get(task, task), estimator=estimator, method=methods[model])

    return make


_RECORDED_AS = {"concrete_strength": "cement_strength"}
"""The paper's tasks that are called otherwise in its runs."""
