"""
The sentences of a report, the same in all formats: plain text, in which what comes from the study is not yet escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sllmbo.prompts.words import number
from sllmbo.report._draw import plain
from sllmbo.report.checks import Check
from sllmbo.report.facts import Answer, Facts, SpaceEdit, Spending
from sllmbo.usage import Usage

DOT = " \u00b7 "


def title(facts: Facts) -> str:
    """Return what the report is called."""
    return f"Report of {plain(facts.study)[:120]}"


def subject(facts: Facts) -> str:
    """Return what was tuned, how it was judged, and when."""
    judged = " and ".join(
        f"{plain(metric)} ({'smaller' if direction == 'minimize' else 'larger'} is better)"
        for metric, direction in zip(facts.metrics, facts.directions, strict=True)
    )
    parts = [plain(facts.description)[:200], judged, f"begun {facts.started}" if facts.started else ""]
    return "; ".join(part for part in parts if part) + "."


def headline(facts: Facts) -> str:
    """Return the answer in one sentence."""
    answer = facts.answer
    if len(facts.metrics) > 1:
        n = len(facts.leaders)
        front = f"{n} {'trial is' if n == 1 else 'trials are'} on the Pareto front: none is better in every objective"
        return f"{front}; the best compromise is trial {answer.trial}." if answer is not None else f"{front}."
    if answer is None:
        return "No trial is complete, so there is nothing to recommend yet."
    what = f"The best configuration has {plain(facts.metrics[0])} {number(answer.value, 5)}"
    if answer.gain is None:
        return f"{what}, in trial {answer.trial}."
    if answer.params == answer.default_params:
        best = "the best by all of its values" if answer.interval is not None else "which no trial has bettered"
        return f"{what}: the default configuration, {best}."
    if not answer.gain:
        return f"{what}, in trial {answer.trial}, the same as the default's."
    assert answer.default_value is not None
    than = "better" if answer.gain > 0 else "worse"
    by = share(answer.gain, answer.default_value)
    return f"{what}, {than} than the default's {number(answer.default_value, 5)} by {by}."


def measured(answer: Answer, name: str) -> str:
    """Return what was wanted of something that was measured beside the metric."""
    bounds = [bound for bound in answer.constraints if bound.startswith((f"{name}<", f"{name}>"))]
    return f"has to keep {', '.join(bounds)}" if bounds else f"of trial {answer.trial}"


def share(gain: float, than: float) -> str:
    """Return the size of *gain*, with its share of *than* where it is a part of it."""
    percent = f" ({number(100 * abs(gain) / abs(than), 2)} %)" if abs(gain) < abs(than) else ""
    return f"{number(abs(gain), 3)}{percent}"


def gain_interval(answer: Answer) -> str:
    """Return how sure the gain is."""
    if answer.gain_interval is not None:
        low, high = answer.gain_interval
        between = f"{number(low, 3)} to {number(high, 3)}"
        return f"95 % interval {between}, from repeats of the best; the default's value counts as exact"
    unknown = "no interval, as no repeat has shown how noisy values are"
    if answer.std is None:
        return unknown
    return f"{unknown}; over the folds the best's value has a standard deviation of {number(answer.std, 2)}"


def heldout(answer: Answer) -> str:
    """Return how the best did on rows that no trial saw; empty where that is not known."""
    if answer.heldout_value is None:
        return ""
    text = f"{number(answer.heldout_value, 5)} on rows that no trial saw"
    if answer.heldout_default is None or answer.heldout_gain is None:
        return text
    versus = f"the default has {number(answer.heldout_default, 5)}"
    if not answer.heldout_gain:
        return f"{text}; {versus}, the same"
    than = "better" if answer.heldout_gain > 0 else "worse"
    return f"{text}; {versus}, so it is {than} by {share(answer.heldout_gain, answer.heldout_default)}"


def ensemble(answer: Answer) -> str:
    """Return how the ensemble does that was saved; empty without one."""
    if not answer.ensemble or answer.ensemble_value is None:
        return ""
    held = answer.heldout_ensemble
    seen = f", and {number(held, 5)} on rows that no trial saw" if held is not None else ""
    return (
        f"The fitted estimator is an ensemble of {counted(answer.ensemble, 'configuration')}. It has "
        f"{number(answer.ensemble_value, 5)} over the folds, by which it was selected{seen}. All else in this report "
        "is of the best configuration alone."
    )


def trials(facts: Facts) -> str:
    """Return how the trials ended."""
    ended = sum(n for state, n in facts.states.items() if state != "running")
    others = [f"{n} {state}" for state, n in facts.states.items() if n and state != "complete"]
    took = f" in {duration(facts.seconds)}" if facts.seconds is not None else ""
    return f"{counted(ended, 'trial')}{took}{', of them ' if others else ''}{', '.join(others)}"


def cost(usage: Usage) -> str:
    """Return what the advice has cost."""
    if not usage.calls:
        return "No chat model was asked."
    price = "at an unknown price" if usage.cost_usd is None else f"for {number(usage.cost_usd, 3)} USD"
    most = f" at most, as the cost of {counted(usage.unseen, 'request')} was not seen" if usage.unseen else ""
    return (
        f"{counted(usage.calls, 'request')} to chat models, {usage.input_tokens} tokens in and {usage.output_tokens} "
        f"out, {price}{most}, {duration(usage.seconds)} of waiting."
    )


def worth(facts: Facts) -> str:
    """Return whether the advice was worth its price; empty where none was paid for or used."""
    found = facts.worth
    if found is None or not (found.advisor_trials or found.usage.calls):
        return ""
    return f"Was the advice worth it? {found.verdict[:1].upper()}{found.verdict[1:]}."


def compared(facts: Facts) -> str:
    """Return how much more often the advisor's trials were improvements than its partner's; empty if one had none."""
    worth = facts.worth
    if worth is None or worth.difference is None or worth.interval is None:
        return ""
    low, high = (100 * end for end in worth.interval)
    chance = ", which chance may explain" if low <= 0 <= high else ""
    return (
        f"Improvements are {abs(100 * worth.difference):.0f} percentage points "
        f"{'more' if worth.difference >= 0 else 'less'} frequent among the advisor's trials than among its partner's "
        f"(95 % interval {low:+.0f} to {high:+.0f}{chance}), counted from where both had begun."
    )


def verdicts(facts: Facts) -> list[str]:
    """Return how the claims of the advisors' reasons came out, by what they are about."""
    kinds = (
        ("effect", "about what a parameter does"),
        ("standing", "about which trial is best"),
        ("prediction", "about what the trial will bring"),
    )
    lines = []
    for kind, about in kinds:
        counts = Counter(check.verdict for reason in facts.reasons for check in reason.checks if check.kind == kind)
        if counts:
            lines.append(
                f"{counted(counts.total(), 'claim')} {about}: {counts['supported']} supported, "
                f"{counts['contradicted']} contradicted, {counts['unverifiable']} unverifiable."
            )
    silent = sum(not any(check.kind != "vague" for check in reason.checks) for reason in facts.reasons)
    if silent:
        lines.append(f"{silent} of {counted(len(facts.reasons), 'reason')} claim nothing that can be checked.")
    return lines


def claim(check: Check) -> str:
    """Return a claim in fixed words, or as it was written where it was not understood."""
    return check.claim or f"\u201c{check.text}\u201d"


def edit(one: SpaceEdit) -> str:
    """Return what an edit of the space did."""
    old, new = (f"{number(low)} \u2026 {number(high)}" for low, high in (one.old, one.new))
    wider = one.new[0] <= one.old[0] and one.new[1] >= one.old[1]
    narrower = one.new[0] >= one.old[0] and one.new[1] <= one.old[1]
    what = "undone: back" if one.undoes else "widened" if wider else "narrowed" if narrower else "moved"
    return f"{what} to {new}, was {old}"


def advice(facts: Facts) -> str:
    """Return what became of advice that was not used as it came; empty where all was."""
    told = {
        "unusable": "not usable, so that the partner served the trial",
        "not_there": "not asked for or not there in time, so that the partner served the trial",
        "turned_down": "turned down",
        "repaired": "repaired",
    }
    parts = [f"{facts.advice[name]} {words}" for name, words in told.items() if facts.advice.get(name)]
    return f"Of the advice: {'; '.join(parts)}." if parts else ""


def numbers(found: Sequence[int], most: int = 12) -> str:
    """Return the numbers of trials."""
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(str, found[:most])) + more


def loading(facts: Facts) -> str:
    """Return Python code that gets what was found."""
    assert facts.answer is not None
    if facts.estimator_file:
        what = f"The ensemble of {facts.answer.ensemble}, a" if facts.answer.ensemble else "A"
        return (
            "import joblib\n\n"
            f"# {what} pickle: load only what you trust.\n"
            f"estimator = joblib.load({facts.estimator_file!r})\n"
            "estimator.predict(X)  # raw rows, as in training"
        )
    lines = [f"    {name!r}: {value!r}," for name, value in facts.answer.params.items()]
    return "\n".join(["params = {", *lines, "}"])


def purposes(spending: Spending) -> list[tuple[str, Usage]]:
    """Return what was spent by chat model and purpose, the dearest first."""
    return sorted(spending.by_purpose.items(), key=lambda item: -item[1].tokens)


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def counted(n: int, word: str) -> str:
    """Return *n* of *word*."""
    return f"{n} {word}{'' if n == 1 else 's'}"


HOW_CLAIMS_ARE_CHECKED = (
    "What an advisor wrote is read clause by clause. A clause is understood as a claim if it names exactly one "
    "parameter (or category), one direction and one outcome, or says which trial is best. Everything else is "
    "unverifiable.",
    "An effect of a parameter is tested by Spearman's rank correlation with the value over complete trials (with the "
    "lead of training, for overfitting), or by the Mann-Whitney test where a border or a category is named; two-sided "
    "at 5 %, with at least 10 trials. What is said in the past tense is held against the trials that had ended by "
    "then, the rest against all. One in twenty claims without any truth comes out as supported or contradicted by "
    "chance, and a correlation is no cause: the trials differ in other parameters too.",
    "Which trial is best is looked up. What a trial should bring is compared with the best trial before it; for one "
    "parameter only where nothing else differs.",
)

WORDS = {
    "Default": "The configuration that the estimator has if nobody tunes it; the bar for every gain.",
    "Held out": "Rows that were set aside before the first trial; no trial saw them.",
    "Improvement": "A trial that bettered the best value so far, which is the default's at first; repeats are none.",
    "Source": "Who proposed a trial: the default, the advisor (a chat model or rules), its partner (a classical "
    "sampler), or the user.",
    "Interval": "It holds the expected value of the best configuration in 95 of 100 cases; known where repeats have "
    "shown how noisy values are.",
    "Importance": "PED-ANOVA (Watanabe et al. 2023): how unlike the best quarter's values of a parameter are to those "
    "of all trials.",
}
