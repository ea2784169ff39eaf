"""
Render a question: a task, a search space and a history become words. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Literal

from sllmbo.history import Direction, History
from sllmbo.prompts import words
from sllmbo.prompts.digest import remaining
from sllmbo.prompts.memory import DigestMemory, Memory, Message, SummaryMemory
from sllmbo.prompts.replies import suggestions_schema
from sllmbo.prompts.standing import digits_of
from sllmbo.prompts.template import PromptTemplate, load_template
from sllmbo.prompts.tunable import dependencies, tunable
from sllmbo.space import Categorical, Leeway, Parameter, SearchSpace
from sllmbo.space.branches import ROOT, branches
from sllmbo.task import DataFacts, EarlierBest, Task

DIGEST = DigestMemory()
NO_EDITS: Mapping[str, Leeway] = MappingProxyType({})

_MAX_TOKENS = 1_435  # of a question with its schema as `words.tokens` counts: within 1,500 by a real vocabulary
_STATE_TOKENS = 750
"""What a study with trials has room for, at the cost of the notes on parameters."""
_FIRST_TRIALS = 3
_FIRST_STATE_TOKENS = 250
"""The same with so few trials, whose notes are cut, but always remain."""
_LAST_TRIALS = 3
"""With so few trials left, nothing is learned any more that could still be used."""
_MAX_DESCRIPTION = 400
_BOUND_DIGITS = 3
_MAX_EDITS = 2
_SHORT_NOTE = 40
_LONG_NOTE = 80
_MAX_CHOICES = 12
_MAX_PARAMS = 80
_SCALARS = (bool, int, float, str, type(None))
"""Defaults that are told; collections may hold classes or categories of the data."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to a chat model."""

    version: str

    instructions: str
    """The part that is the same for every study."""

    text: str
    """The part that is new in each call."""

    conversation: tuple[Message, ...] = ()
    """What was said before, between the instructions and the text."""


def render_suggestions(
    task: Task,
    space: SearchSpace,
    history: History,
    *,
    n: int,
    purpose: Literal["opening", "next"],
    leeways: Mapping[str, Leeway] = NO_EDITS,
    memory: Memory = DIGEST,
) -> Prompt:
    """
    Ask what to try.

    Args:
        task: What is tuned.
        space: The present search space.
        history: All trials.
        n: How many configurations are wanted.
        purpose: A diverse opening, or candidates for the next trial.
        leeways: The parameters whose bounds may be edited, and how far.
        memory: What of the history is told.
    """
    template = load_template("suggest")
    system = template.fill("system")
    request = _request(template, history, n_trials=task.n_trials, n=n, purpose=purpose)
    if leeways:
        request += "\n\n" + template.fill("edits", edits="\n".join(map(_open, leeways.items())))
    schema = json.dumps(suggestions_schema(space, n, leeways=leeways), separators=(",", ":"))
    is_early = len(history) <= _FIRST_TRIALS
    needed = _FIRST_STATE_TOKENS if is_early else _STATE_TOKENS
    for note in (_LONG_NOTE, _SHORT_NOTE) if is_early else (_LONG_NOTE, _SHORT_NOTE, 0):  # they make way for trials
        known = {"task": task_card(task, space), "space": space_table(space, note, brief=True), "request": request}
        fixed = (system, template.fill("prompt", state="", **known), schema)
        room = _MAX_TOKENS - sum(map(words.tokens, fixed))
        if room >= needed:
            break
    state = memory.state(_effective(space, task), history, n_trials=task.n_trials, limit=room)
    said = memory.conversation(space, history)
    return Prompt(template.version, system, template.fill("prompt", state=state, **known), said)


def _effective(space: SearchSpace, task: Task) -> SearchSpace:
    """Return *space* without the parameters that have no effect, as others are set: of their trials nothing is told."""
    idle = {name for name, _, idle in dependencies(space, task.estimator_params) if idle}
    idle -= {parameter.condition.parameter for parameter in space.values() if parameter.condition is not None}
    kept = {name: parameter for name, parameter in space.items() if name not in idle}
    return SearchSpace(kept) if idle and kept else space


def offered(leeways: Mapping[str, Leeway]) -> dict[str, Leeway]:
    """Return those of the edits that are open which a question offers: few, as each takes the room of a trial's row."""
    return dict(islice(leeways.items(), _MAX_EDITS))


def _open(item: tuple[str, Leeway]) -> str:
    name, leeway = item
    bounds = (
        f"{bound} {_bound(least)}" + (f" to {_bound(most)}" if least < most else " (fixed)")
        for bound, (least, most) in (("low", leeway.low), ("high", leeway.high))
    )
    evidence = " ".join(map(words.bare, leeway.evidence.split()))
    return f"{words.name(name)}: {', '.join(bounds)} ({evidence})"


def _bound(value: float) -> str:
    return words.bare(words.number(value, _BOUND_DIGITS))  # what is off by the rounding is moved inside again


def render_condense(task: Task, space: SearchSpace, history: History, memory: SummaryMemory) -> Prompt:
    """Ask for notes that stand in for the trials from now on; *memory* says which were condensed before."""
    template = load_template("condense")
    state = memory.state(space, history, n_trials=task.n_trials, limit=_MAX_TOKENS)
    text = template.fill("prompt", task=task_card(task, space), space=space_table(space, _SHORT_NOTE), state=state)
    return Prompt(template.version, template.fill("system"), text)


def _request(
    template: PromptTemplate, history: History, *, n_trials: int | None, n: int, purpose: Literal["opening", "next"]
) -> str:
    left = remaining(history, n_trials)
    if purpose == "opening":
        return template.fill("opening", n=_configurations(n if left is None else max(1, min(n, left))))
    spares = " " + template.fill("spares") if n > 1 else ""
    if left is not None and left <= _LAST_TRIALS and history.best is not None:
        trials = "Only 1 trial remains" if left <= 1 else f"Only {left} trials remain"
        return template.fill("last", n=_configurations(n), remaining=trials) + spares
    phase = "" if left is None else " " + template.fill(_phase(left, of=left + len(history)))
    return template.fill("next", n=_configurations(n), phase=phase) + spares


def _phase(left: int, *, of: int) -> str:
    if 2 * left > of:
        return "early"
    return "middle" if 4 * left > of else "late"


def render_design(task: Task, reference: SearchSpace | None = None) -> Prompt:
    """
    Ask for a search space.

    Args:
        task: What is tuned.
        reference: A documented search space of the estimator, to be adapted to this task.
    """
    template = load_template("design_space")
    trials = "1 trial" if task.n_trials == 1 else f"{task.n_trials} trials"
    budget = f" and its budget: {trials} in all, of which {task.n_trials} remain" if task.n_trials else ""
    text = template.fill("prompt", task=task_card(task), estimator=_estimator_section(task, reference), budget=budget)
    return Prompt(template.version, template.fill("system"), text)


def task_card(task: Task, space: SearchSpace | None = None) -> str:
    """Return the task in a few lines; of a space also what is fixed that its parameters depend on."""
    lines = [
        f"description: {words.quoted(task.description, _MAX_DESCRIPTION)}" if task.description else "",
        f"estimator: {words.quoted(task.estimator, 80)}" if task.estimator else "",
        f"metric: {words.quoted(task.metric or 'the objective', 60)}, {_better(task.direction)}",
        *_goals(task),
        f"fixed: {', '.join(fixed)}" if (fixed := _fixed(task, space)) else "",
        f"data: {_facts(task.data)}" if task.data else "",
        f"earlier studies on similar data, whose best run here by transfer: {', '.join(map(_beaten, task.earlier))}"
        if task.earlier
        else "",
    ]
    return "\n".join(line for line in lines if line)


def _fixed(task: Task, space: SearchSpace | None) -> list[str]:
    """Return the parameters of the estimator that are not tuned and decide what tuned ones do, with their values."""
    told: dict[str, str] = {}
    for name, other, idle in dependencies(space or (), task.estimator_params):
        effect = f" ({words.name(name)} has no effect)" if idle else ""
        told[other] = f"{words.name(other)} {words.value(task.estimator_params[other])}{effect}"
    return list(told.values())


def _better(direction: Direction) -> str:
    return "higher is better" if direction == "maximize" else "lower is better"


def _goals(task: Task) -> list[str]:
    """Return what is wanted beside the metric."""
    lines = []
    if task.objectives:
        listed = ", ".join(f"{words.quoted(name, 60)} ({_better(better)})" for name, better in task.objectives.items())
        lines = [
            f"as important as the metric: {listed}",
            "value: the rank of a trial, lower is better; below 1 no other trial is better in all, least for the best "
            "compromise",
        ]
    if task.constraints:
        listed = ", ".join(words.quoted(text, 80) for text in task.constraints)
        lines.append(f"constraints: {listed}; a trial that breaks one is of no use and counts as failed")
    return lines


def _beaten(best: EarlierBest) -> str:
    who = words.quoted(best.study, 60) if best.study else "one"
    if best.gain is None:
        return who
    metric = f" ({words.quoted(best.metric, 60)})" if best.metric else ""
    return f"{who} beat its default by {words.number(best.gain)}{metric}"


def space_table(space: SearchSpace, longest_note: int, *, brief: bool = False) -> str:
    """
    Return one line for each parameter: range, scale, default, condition, and what was noted on it, cut to length.

    *brief* is without the words "to" and "default", which are as much of it as the numbers.
    Of several estimators the name of a parameter tells to which it belongs, so that condition is said once.
    """
    several = branches(space)
    lines = []
    for name, parameter in space.items():
        if several and parameter.condition is not None and parameter.condition.parameter == ROOT:
            parameter = replace(parameter, condition=None)
        once = ", the parameters that begin with its name exist" if several and name == ROOT else ""
        lines.append(f"{words.name(name)}: {_described(parameter, longest_note, brief=brief)}{once}")
    return "\n".join(lines)


def _described(parameter: Parameter, longest_note: int, *, brief: bool) -> str:
    digits = digits_of(parameter) if isinstance(parameter, Categorical) else 4
    if isinstance(parameter, Categorical):
        known, facts = (
            parameter.has_default,
            [f"one of {words.some((words.value(c, digits) for c in parameter.choices), _MAX_CHOICES)}"],
        )
    else:
        kind = type(parameter).__name__.lower()
        scale = " log" if parameter.log else ""
        step = f" in steps of {words.number(parameter.step)}" if parameter.step not in (None, 1) else ""
        known = parameter.default is not None
        to = ".." if brief else " to "
        facts = [f"{kind} {words.number(parameter.low)}{to}{words.number(parameter.high)}{scale}{step}"]
    if known and brief:
        facts[0] += f" ({words.value(parameter.default, digits)})"
    elif known:
        facts.append(f"default {words.value(parameter.default, digits)}")
    if parameter.condition is not None:
        values = " or ".join(map(words.value, parameter.condition.values))
        facts.append(f"only when {words.name(parameter.condition.parameter)} is {values}")
    if parameter.description and longest_note:
        facts.append(f"note {words.quoted(parameter.description, longest_note)}")
    return ", ".join(facts)


def _configurations(n: int) -> str:
    return "1 configuration" if n == 1 else f"{n} configurations"


def _facts(data: DataFacts) -> str:
    ordered = ["rows ordered in time and validated in that order"] if data.ordered else []
    if not data.n_rows:  # no more may be told
        return ", ".join([data.kind, *ordered])
    levels = f" with up to {data.max_cardinality} levels" if data.max_cardinality else ""
    features = f"{data.n_features} features"
    if data.n_categorical:
        features += f" ({data.n_numeric} numeric, {data.n_categorical} categorical{levels})"
    elif data.n_numeric:
        features = f"{data.n_features} numeric features"
    facts = [data.kind, f"{data.n_rows} rows", features]
    if data.missing_share:
        facts.append(f"{data.missing_share:.2g} of the cells missing")
    if data.kind == "classification":
        facts.append(f"{data.n_classes} classes, the rarest {data.minority_share:.2g} of the rows")
    else:
        facts.append(f"target skewness {data.target_skew:.2g}")
    return ", ".join([*facts, *ordered])


def _estimator_section(task: Task, reference: SearchSpace | None) -> str:
    sections = []
    offered = tunable(task.estimator_params, task.data)
    if offered:
        listed = (
            f"{words.name(name)}={words.value(v)}" if isinstance(v, _SCALARS) else words.name(name)
            for name, v in offered.items()
        )
        sections.append(
            f"PARAMETERS OF THE ESTIMATOR with their defaults (use these names and no others)\n"
            f"{words.some(listed, _MAX_PARAMS)}"
        )
    if reference is not None:
        sections.append(
            "A DOCUMENTED SPACE for this estimator on data in general (adapt it to this task; keep what fits)\n"
            f"{space_table(reference, _LONG_NOTE)}"
        )
    return "\n\n".join(sections) or "The estimator's parameters are not known here; use the names it documents."
