"""
The report as one HTML file that needs nothing else: styles, data, pictures and plotly are in it, and it opens no
connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from optuna.study import Study

from sllmbo._optional import require
from sllmbo.prompts.words import number
from sllmbo.report import _html as h
from sllmbo.report import _sentences as say
from sllmbo.report import plots
from sllmbo.report._draw import DARK
from sllmbo.report._html import code, table, text, value
from sllmbo.report._reasons import Reason
from sllmbo.report.facts import Answer, Facts, FailureClass
from sllmbo.usage import Usage
from sllmbo.worth import SourceWorth

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST_SLICES = 12
_MOST_REASONS = 100
_MOST_TOLD = 12
"""Reasons that are shown at once; the others are folded away."""


class _Pictures:
    """The pictures of a page: their places, and the data that the script draws from."""

    def __init__(self) -> None:
        self.data: list[tuple[str, str]] = []

    def place(self, name: str, figure: Figure, caption: str, *, least: int = 0, bare: bool = False) -> str:
        """Return where *figure* is drawn; *caption* says in words what it shows. It may be wider than the page."""
        key = f"figure-{name}"
        self.data.append((key, str(figure.to_json())))
        width = f"; min-width: {least}px" if least else ""
        drawn = (
            f'<div class="plot" role="img" aria-label="{text(caption)}" data-figure="{key}" '
            f'style="height: {figure.layout.height}px{width}"></div>'
        )
        if least:
            drawn = f'<div class="wide-plot" tabindex="0" role="region" aria-label="Picture that scrolls">{drawn}</div>'
        return f"<figure>{drawn}{'' if bare else f'<figcaption>{text(caption)}</figcaption>'}</figure>"

    def scripts(self) -> str:
        """Return the data of the pictures."""
        return "\n".join(
            f'<script type="application/json" id="{key}">{h.in_script(data)}</script>' for key, data in self.data
        )


def to_html(study: Study, facts: Facts) -> str:
    """
    Return the report of *study* as one HTML file.

    Args:
        study: Any Optuna study.
        facts: What `collect` says of it.

    Raises:
        MissingExtra: If plotly is not installed.
    """
    plotly = str(require("plotly.offline", extra="report", purpose="A report in HTML").get_plotlyjs())
    pictures = _Pictures()
    sections = [
        _answer(facts),
        _history(study, facts, pictures),
        _sources(study, facts, pictures),
        _parameters(study, facts, pictures),
        _front(study, facts, pictures),
        _edits(study, facts, pictures),
        _failures(study, facts, pictures),
        _reasons(facts),
        _notes(facts),
    ]
    files = resources.files("sllmbo.report")
    page, style, script = ((files / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return page.format(
        policy=_policy([plotly, script]),
        title=text(say.title(facts)),
        style=style,
        subject=text(say.subject(facts)),
        links="".join(_links(sections)),
        body="\n".join(filter(None, sections)),
        data=pictures.scripts(),
        dark=h.in_script(json.dumps(DARK)),
        plotly=plotly,
        script=script,
    )


def _policy(scripts: Sequence[str]) -> str:
    """Return the content security policy: these scripts and no other, and no connection."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"


def _links(sections: Sequence[str]) -> list[str]:
    found = []
    for part in filter(None, sections):
        name = part.split('"', 2)[1]
        heading = part.partition("<h2")[2].partition(">")[2].partition("</h2>")[0]
        found.append(f'<li><a href="#{name}">{heading}</a></li>')
    return found


def _answer(facts: Facts) -> str:
    answer = facts.answer
    parts = [h.paragraph(say.headline(facts), "lead"), _cards(facts)]
    if answer is not None:
        rows = [
            (
                code(name),
                f"<b>{use}</b>" if answer.default_params and use != default else use,
                default,
            )
            for name, use, default in (
                (name, h.setting(answer.params, name), h.setting(answer.default_params, name)) for name in answer.params
            )
        ]
        n = 3 if answer.default_params else 2
        head = ("parameter", "use", "default")[:n]
        shown = table("Best configuration", head, [row[:n] for row in rows], right=range(1, n))
        parts.append(h.paragraph(say.ensemble(answer)))
        use, load = f"<h3>What to use</h3>{shown}", f"<h3>How to load it</h3>{h.block(say.loading(facts))}"
        parts.append(f'<div class="columns"><div>{use}</div><div>{load}</div></div>')
    parts.append(h.paragraph(say.worth(facts)))
    return h.section("answer", "The answer", *parts)


def _cards(facts: Facts) -> str:
    answer, cards = facts.answer, []
    if answer is not None:
        cards += _answer_cards(answer, facts.metrics[0], best="Best " if len(facts.metrics) == 1 else "")
    cards.append(("Trials", str(sum(facts.states.values()) - facts.states["running"]), say.trials(facts), ""))
    usage = facts.spending.usage
    price = "none" if not usage.calls else "unknown" if usage.cost_usd is None else f"{usage.cost_usd:.3g} USD"
    cards.append(("Cost of advice", price, say.cost(usage), ""))
    return (
        '<dl class="cards">'
        + "".join(
            f'<div class="card"><dt>{text(name)}</dt><dd class="big {style}">{text(big)}</dd>'
            f'<dd class="more">{text(more)}</dd></div>'
            for name, big, more, style in cards
        )
        + "</dl>"
    )


def _answer_cards(answer: Answer, metric: str, *, best: str) -> list[tuple[str, str, str, str]]:
    cards = []
    if answer.gain is not None and answer.default_value is not None:
        sign = "+" if answer.gain > 0 else "\u2212" if answer.gain < 0 else ""
        big = sign + say.share(answer.gain, answer.default_value)
        style = "good" if answer.gain > 0 else "bad" if answer.gain < 0 else ""
        cards.append(("Gain over the default", big, say.gain_interval(answer), style))
    more = f"trial {answer.trial}" if answer.default_value is None else f"default: {number(answer.default_value, 5)}"
    if answer.interval is not None:
        more += f"; 95 % interval {number(answer.interval[0], 4)} to {number(answer.interval[1], 4)}"
    cards.append((f"{best}{metric}", number(answer.value, 5), more, ""))
    cards += [(name, number(told, 4), say.measured(answer, name), "") for name, told in answer.measures.items()]
    if answer.heldout_value is not None:
        cards.append((f"Held-out {metric}", number(answer.heldout_value, 5), say.heldout(answer), ""))
    return cards


def _history(study: Study, facts: Facts, pictures: _Pictures) -> str:
    if not sum(facts.states.values()):
        return ""
    drawn = [
        pictures.place(
            f"history-{index}",
            plots.plot_history(study, objective=index),
            f"{metric} of each trial, by who proposed it; the line is the best so far. {say.trials(facts)}. Values far "
            "worse than most may lie outside the picture; a double click shows them.",
        )
        for index, metric in enumerate(facts.metrics)
    ]
    rows = [
        (
            str(one.trial),
            text(one.source),
            *(value(v) for v in one.values),
            *(h.setting(one.params, n) for n in _names(facts)),
        )
        for one in facts.leaders
    ]
    best = "Trials on the Pareto front" if len(facts.metrics) > 1 else f"The best {len(rows)} trials"
    n = len(facts.metrics)
    shown = table(
        best, ("trial", "source", *facts.metrics, *_names(facts)), rows[:50], right=range(2, 2 + n + len(_names(facts)))
    )
    return h.section("history", "History", *drawn, h.details(f"{best}, as a table", shown) if rows else "")


def _names(facts: Facts) -> list[str]:
    return list(dict.fromkeys(name for one in facts.leaders for name in one.params))[:30]


def _sources(study: Study, facts: Facts, pictures: _Pictures) -> str:
    worth, spending = facts.worth, facts.spending
    parts = []
    if worth is not None and worth.sources:
        costs = ("requests", "tokens", "USD") if spending.usage.calls else ()
        head = ("source", "trials", "improvements", "gain", *costs)
        rows = [_earned(name, one)[: len(head)] for name, one in worth.sources.items()]
        parts.append(h.paragraph(say.compared(facts)))
        parts.append(table("Who proposed the trials, and what came of it", head, rows, right=range(1, len(head))))
    parts.append(h.paragraph(say.advice(facts)))
    if spending.usage.calls:
        told = say.cost(spending.usage)
        parts.append(h.paragraph(told))
        figure = plots.plot_spending(study)
        if figure.data:  # none where only the space's design was asked for
            parts.append(pictures.place("spending", figure, "Tokens by trial, summed."))
        purposes = [
            [text(name), str(one.calls), str(one.input_tokens), str(one.output_tokens), _dollars(one)]
            for name, one in say.purposes(spending)
        ]
        head = ("chat model and question", "requests", "tokens in", "tokens out", "USD")
        parts.append(table("Money and tokens, by what was asked", head, purposes, right=range(1, 5)))
    return h.section("sources", "Who found it, at what cost", *parts)


def _earned(name: str, one: SourceWorth) -> list[str]:
    usage = one.usage
    cost = [str(usage.calls), str(usage.tokens), _dollars(usage)] if usage.calls else ["", "", ""]
    return [text(name), str(one.trials), str(one.improvements), value(one.gain, 3) if one.improvements else "", *cost]


def _dollars(usage: Usage) -> str:
    return "" if usage.cost_usd is None else f"{usage.cost_usd:.4f}"


def _reasons(facts: Facts) -> str:
    if not facts.reasons:
        return ""
    told, rest, left = _worth_reading(facts.reasons)
    tally = "".join(f"<li>{text(line)}</li>" for line in say.verdicts(facts))
    return h.section(
        "reasons",
        "The reasons, and whether they hold",
        f"<ul>{tally}</ul>" if tally else "",
        h.details("How claims are checked", *(h.paragraph(line) for line in say.HOW_CLAIMS_ARE_CHECKED)),
        _listed(told),
        h.details(f"{say.counted(len(rest), 'other reason')}", _listed(rest)) if rest else "",
        h.paragraph(f"{left} more reasons are left out here; the report in JSON has all." if left else "", "quiet"),
    )


def _worth_reading(reasons: Sequence[Reason]) -> tuple[list[Reason], list[Reason], int]:
    """Return the reasons to begin with, the others, and how many of these are left out where there are many."""
    told = [one for one in reasons if _is_telling(one)] or list(reasons[:_MOST_TOLD])
    told = sorted(told, key=lambda one: (one.verdict != "contradicted", not one.improved))[:_MOST_TOLD]
    shown = {one.trial for one in told}
    rest = [one for one in reasons if one.trial not in shown]
    return sorted(told, key=lambda one: one.trial), rest[-_MOST_REASONS:], len(rest[:-_MOST_REASONS])


def _is_telling(one: Reason) -> bool:
    """Tell whether a reason led to a new best, was contradicted, or claims more than which trial is best."""
    claimed = any(check.kind in ("effect", "prediction") for check in one.checks)
    return one.improved or one.verdict == "contradicted" or claimed


def _listed(reasons: Sequence[Reason]) -> str:
    return f'<ol class="reasons">{"".join(map(_reason, reasons))}</ol>' if reasons else ""


def _reason(one: Reason) -> str:
    result = f"value {number(one.value, 5)}" if one.value is not None else one.state
    origin = f" ({one.origin[:80]})" if one.origin and one.origin != one.source else ""
    head = [f"Trial {one.trial}", f"{one.source}{origin}", result, *(["new best"] if one.improved else [])]
    checks = "".join(
        f'<li>{h.verdict(check.verdict)}: {text(say.claim(check))} <span class="quiet">({text(check.test)})</span></li>'
        for check in one.checks
    )
    return (
        f'<li class="{one.verdict}"><p class="head">{text(say.DOT.join(head))}</p>'
        f"<blockquote>{text(one.rationale)}</blockquote>{f'<ul>{checks}</ul>' if checks else ''}</li>"
    )


def _parameters(study: Study, facts: Facts, pictures: _Pictures) -> str:
    names = _by_importance(facts)
    if not names:
        return ""
    parts = []
    if facts.importances:
        told = "; ".join(
            f"{metric}: " + ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:3])
            for metric, shares in facts.importances.items()
        )
        caption = f"Share of each parameter in what puts a trial among the best quarter (PED-ANOVA). {told}."
        parts.append(
            f"<h3>How much each matters</h3>{pictures.place('importances', plots.plot_importances(study), caption)}"
        )
    for index, metric in enumerate(facts.metrics):
        drawn = "".join(
            pictures.place(
                f"slice-{index}-{place}",
                plots.plot_slices(study, [name], objective=index),
                f"{name} against {metric}, one mark per trial, as in the history.",
                bare=True,
            )
            for place, name in enumerate(names[:_MOST_SLICES])
        )
        more = f" The {_MOST_SLICES} most important of {len(names)}." if len(names) > _MOST_SLICES else ""
        parts.append(f"<h3>Each against {text(metric)}</h3>")
        parts.append(h.paragraph(f"One mark per trial, as in the history.{more}", "quiet"))
        parts.append(f'<div class="slices">{drawn}</div>')
    caption = (
        f"Each complete trial is a line through its parameters, by {facts.metrics[0]} in five steps from the worst "
        "fifth (pale) to the best (strong)."
    )
    figure = plots.plot_parallel(study)
    parts.append(f"<h3>All together</h3>{pictures.place('parallel', figure, caption, least=max(96 * len(names), 320))}")
    return h.section("parameters", "Parameters", *parts)


def _by_importance(facts: Facts) -> list[str]:
    known = [name for shares in facts.importances.values() for name in shares]
    return list(dict.fromkeys([*known, *_names(facts)]))


def _front(study: Study, facts: Facts, pictures: _Pictures) -> str:
    if len(facts.metrics) not in (2, 3) or not facts.leaders:
        return ""
    broken = facts.states["infeasible"]
    caption = f"{say.headline(facts)} " + (f"{say.counted(broken, 'trial')} broke a constraint." if broken else "")
    return h.section("front", "Pareto front", pictures.place("pareto", plots.plot_pareto(study), caption))


def _edits(study: Study, facts: Facts, pictures: _Pictures) -> str:
    if not facts.edits:
        return ""
    rows = [
        (str(one.trial), code(one.parameter), text(say.edit(one)), text(one.source), text(one.reason))
        for one in facts.edits
    ]
    caption = "Ranges in force by trial (band), and the values that were tried (dots)."
    head = ("trial", "parameter", "edit", "source", "reason")
    return h.section(
        "edits",
        "Edits of the search space",
        pictures.place("edits", plots.plot_edits(study), caption),
        table("Edits in order", head, rows, wide=4),
    )


def _failures(study: Study, facts: Facts, pictures: _Pictures) -> str:
    parts = []
    if facts.failures:
        n = sum(len(one.trials) for one in facts.failures)
        broke = " or broke a constraint" if facts.states["infeasible"] else ""
        caption = f"{say.counted(n, 'trial')} failed{broke}, in {say.counted(len(facts.failures), 'way')}."
        parts.append(pictures.place("failures", plots.plot_failures(study), caption))
        parts.append(_classes("Failures by class", facts.failures))
    if facts.unusable_advice:
        parts.append(_classes("Advice that was not usable; the partner served these trials", facts.unusable_advice))
    return h.section("failures", "Failures", *parts)


def _classes(caption: str, classes: Sequence[FailureClass]) -> str:
    rows = [(text(one.what), str(len(one.trials)), text(say.numbers(one.trials)), text(one.example)) for one in classes]
    return table(caption, ("class", "how many", "trials", "last message"), rows[:50], right=(1,), wide=3)


def _notes(facts: Facts) -> str:
    notes = "".join(f"<li>{text(note)}</li>" for note in facts.notes)
    words = "".join(f"<dt>{text(name)}</dt><dd>{text(meaning)}</dd>" for name, meaning in say.WORDS.items())
    return h.section(
        "notes", "Notes", f"<ul>{notes}</ul>" if notes else "", h.details("What the words mean", f"<dl>{words}</dl>")
    )
