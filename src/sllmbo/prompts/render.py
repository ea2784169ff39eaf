"""
Render a question: a task, a search space and a history become words. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sllmbo.history import History
from sllmbo.prompts import words
from sllmbo.prompts.digest import digest
from sllmbo.prompts.template import load_template
from sllmbo.space import Categorical, Parameter, SearchSpace
from sllmbo.task import DataFacts, Task

_MAX_DESCRIPTION = 500
_MAX_CHOICES = 12
_MAX_PARAMS = 80


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to a chat model."""

    version: str

    instructions: str
    """The part that is the same for every study."""

    text: str
    """The part that is new in each call."""


def render_suggestions(
    task: Task, space: SearchSpace, history: History, *, n: int, purpose: Literal["opening", "next"]
) -> Prompt:
    """
    Ask what to try.

    Args:
        task: What is tuned.
        space: The present search space.
        history: All trials, of which a digest of bounded size is told.
        n: How many configurations are wanted.
        purpose: A diverse opening, or candidates for the next trial.
    """
    template = load_template("suggest")
    text = template.fill(
        "prompt",
        task=task_card(task),
        space=space_table(space),
        state=digest(space, history, n_trials=task.n_trials),
        request=template.fill(purpose, n=_configurations(n)),
    )
    return Prompt(template.version, template.fill("system"), text)


def render_design(task: Task, reference: SearchSpace | None = None) -> Prompt:
    """
    Ask for a search space.

    Args:
        task: What is tuned.
        reference: A documented search space of the estimator, to be adapted to this task.
    """
    template = load_template("design_space")
    text = template.fill("prompt", task=task_card(task), estimator=_estimator_section(task, reference))
    return Prompt(template.version, template.fill("system"), text)


def task_card(task: Task) -> str:
    """Return the task in a few lines."""
    better = "higher is better" if task.direction == "maximize" else "lower is better"
    lines = [
        f"description: {words.quoted(task.description, _MAX_DESCRIPTION)}" if task.description else "",
        f"estimator: {words.quoted(task.estimator, 80)}" if task.estimator else "",
        f"metric: {words.quoted(task.metric or 'the objective', 60)}, {better}",
        f"data: {_facts(task.data)}" if task.data else "",
    ]
    return "\n".join(line for line in lines if line)


def space_table(space: SearchSpace) -> str:
    """Return one line for each parameter: range, scale, default, meaning, condition."""
    return "\n".join(f"{words.name(name)}: {_described(parameter)}" for name, parameter in space.items())


def _described(parameter: Parameter) -> str:
    if isinstance(parameter, Categorical):
        known, facts = (
            parameter.has_default,
            [f"one of {words.some(map(words.value, parameter.choices), _MAX_CHOICES)}"],
        )
    else:
        kind = type(parameter).__name__.lower()
        scale = " log" if parameter.log else ""
        step = f" in steps of {words.number(parameter.step)}" if parameter.step not in (None, 1) else ""
        known = parameter.default is not None
        facts = [f"{kind} {words.number(parameter.low)} to {words.number(parameter.high)}{scale}{step}"]
    if known:
        facts.append(f"default {words.value(parameter.default)}")
    if parameter.condition is not None:
        values = " or ".join(map(words.value, parameter.condition.values))
        facts.append(f"only when {words.name(parameter.condition.parameter)} is {values}")
    if parameter.description:
        facts.append(words.quoted(parameter.description, 80))
    return ", ".join(facts)


def _configurations(n: int) -> str:
    return "1 configuration" if n == 1 else f"{n} configurations"


def _facts(data: DataFacts) -> str:
    levels = f" with up to {data.max_cardinality} levels" if data.max_cardinality else ""
    facts = [
        data.kind,
        f"{data.n_rows} rows",
        f"{data.n_features} features ({data.n_numeric} numeric, {data.n_categorical} categorical{levels})",
        f"{data.missing_share:.2g} of the cells missing",
    ]
    if data.kind == "classification":
        facts.append(f"{data.n_classes} classes, the rarest {data.minority_share:.2g} of the rows")
    else:
        facts.append(f"target skewness {data.target_skew:.2g}")
    if data.ordered:
        facts.append("rows ordered in time and validated in that order")
    return ", ".join(facts)


def _estimator_section(task: Task, reference: SearchSpace | None) -> str:
    sections = []
    if task.estimator_params:
        listed = (f"{words.name(name)}={words.value(v)}" for name, v in task.estimator_params.items())
        sections.append(
            f"PARAMETERS OF THE ESTIMATOR with their defaults (use these names and no others)\n"
            f"{words.some(listed, _MAX_PARAMS)}"
        )
    if reference is not None:
        sections.append(
            "A DOCUMENTED SPACE for this estimator on data in general (adapt it to this task; keep what fits)\n"
            f"{space_table(reference)}"
        )
    return "\n\n".join(sections) or "The estimator's parameters are not known here; use the names it documents."
