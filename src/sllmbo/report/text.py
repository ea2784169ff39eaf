"""
The report as Markdown. What comes from a study is escaped: it stays text within its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sllmbo.prompts.words import number
from sllmbo.report import _sentences as say
from sllmbo.report._draw import plain
from sllmbo.report.facts import Facts, FailureClass

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_LINKS = re.compile(r"(://|www\.)", re.IGNORECASE)


def to_markdown(facts: Facts) -> str:
    """Return the report as Markdown, with tables as GitHub has them."""
    parts = [
        f"# {_text(say.title(facts))}",
        _text(say.subject(facts)),
        *_answer(facts),
        *_history(facts),
        *_sources(facts),
        *_reasons(facts),
        *_importances(facts),
        *_edits(facts),
        *_failures(facts),
        *_notes(facts),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _answer(facts: Facts) -> list[str]:
    parts = ["## The answer", _text(say.headline(facts))]
    answer = facts.answer
    if answer is not None:
        lines = [f"Gain: {say.gain_interval(answer)}."] if answer.gain is not None else []
        lines += [f"Held out: {say.heldout(answer)}."] if answer.heldout_value is not None else []
        lines += [
            f"{_text(name)}: {number(told, 4)}, {_text(say.measured(answer, name))}."
            for name, told in answer.measures.items()
        ]
        parts += [_list(lines)]
        parts.append(_text(say.ensemble(answer)))
        rows = [
            (_code(name), _setting(answer.params, name), _setting(answer.default_params, name))
            for name in answer.params
        ]
        n = 3 if answer.default_params else 2
        parts.append(_table(("parameter", "use", "default")[:n], [row[:n] for row in rows]))
        parts.append(_block(say.loading(facts)))
    parts.append(_list([f"{say.trials(facts)}.", say.cost(facts.spending.usage)]))
    return [*parts, _text(say.worth(facts))]


def _history(facts: Facts) -> list[str]:
    if not facts.leaders:
        return []
    names = list(dict.fromkeys(name for one in facts.leaders for name in one.params))
    rows = [
        (str(one.trial), _text(one.source), *map(_value, one.values), *(_setting(one.params, name) for name in names))
        for one in facts.leaders[:50]
    ]
    heading = "## Pareto front" if len(facts.metrics) > 1 else "## Best trials"
    return [heading, _table(("trial", "source", *map(_text, facts.metrics), *map(_code, names)), rows)]


def _sources(facts: Facts) -> list[str]:
    worth = facts.worth
    if worth is None or not worth.sources:
        return []
    rows = [
        (
            _text(name),
            str(one.trials),
            str(one.improvements),
            _value(one.gain),
            str(one.usage.calls),
            str(one.usage.tokens),
        )
        for name, one in worth.sources.items()
    ]
    purposes = [
        (_text(name), str(one.calls), str(one.tokens), "" if one.cost_usd is None else f"{one.cost_usd:.4f}")
        for name, one in say.purposes(facts.spending)
    ]
    return [
        "## Who found it, at what cost",
        _table(("source", "trials", "improvements", "gain", "calls", "tokens"), rows),
        _text(say.advice(facts)),
        _table(("chat model and question", "requests", "tokens", "USD"), purposes),
    ]


def _reasons(facts: Facts) -> list[str]:
    if not facts.reasons:
        return []
    parts = ["## The reasons, and whether they hold", _list(map(_text, say.verdicts(facts)))]
    for one in facts.reasons:
        result = f"value {number(one.value, 5)}" if one.value is not None else one.state
        head = f"Trial {one.trial}, {one.source}: {result}{', a new best' if one.improved else ''}"
        checks = [
            f"  - {check.verdict}: {_text(check.claim or check.text)} ({_text(check.test)})" for check in one.checks
        ]
        parts.append("\n".join([f"- {_text(head)}. {_text(one.rationale)}", *checks]))
    return [*parts, *say.HOW_CLAIMS_ARE_CHECKED]


def _importances(facts: Facts) -> list[str]:
    if not facts.importances:
        return []
    rows = [
        (_text(metric), _code(name), f"{share:.0%}")
        for metric, shares in facts.importances.items()
        for name, share in shares.items()
    ]
    return ["## Importance of the parameters", _table(("metric", "parameter", "share"), rows)]


def _edits(facts: Facts) -> list[str]:
    rows = [
        (str(e.trial), _code(e.parameter), _text(say.edit(e)), _text(e.source), _text(e.reason)) for e in facts.edits
    ]
    return (
        ["## Edits of the search space", _table(("trial", "parameter", "edit", "source", "reason"), rows)]
        if rows
        else []
    )


def _failures(facts: Facts) -> list[str]:
    parts = []
    if facts.failures:
        parts += ["## Failures", _classes(facts.failures)]
    if facts.unusable_advice:
        parts += ["## Advice that was not usable", _classes(facts.unusable_advice)]
    return parts


def _classes(classes: Sequence[FailureClass]) -> str:
    rows = [(_text(one.what), str(len(one.trials)), say.numbers(one.trials), _text(one.example)) for one in classes]
    return _table(("class", "how many", "trials", "last message"), rows)


def _notes(facts: Facts) -> list[str]:
    return ["## Notes", _list(map(_text, facts.notes))] if facts.notes else []


def _text(given: object) -> str:
    """Return *given* as text that is no markup and no link."""
    return _LINKS.sub(lambda m: m.group()[:-1] + "\\" + m.group()[-1], _SPECIAL.sub(r"\\\1", plain(given)))


def _code(given: object) -> str:
    """Return *given* as code within a line, also in a table."""
    content = plain(given).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", content)), default=0))
    space = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{space}{content}{space}{fence}" if content else ""


def _value(given: Any) -> str:
    if given is None:
        return ""
    return number(given, 5) if isinstance(given, (int, float)) and not isinstance(given, bool) else _code(given)


def _setting(params: Mapping[str, Any], name: str) -> str:
    return _value("None" if params[name] is None else params[name]) if name in params else ""


def _block(code: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return f"{fence}python\n{code}\n{fence}"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
