"""
Whether the trials support what a rationale claims, by a stated test; unverifiable where no test settles it.

- An effect of a number: Spearman's rank correlation of the parameter with the objective over complete trials, or with
  the lead in training (for "overfits"); where a border is named, and for a category, the Mann-Whitney test of the two
  groups. Two-sided at 5 %, with at least 10 trials, and at least 4 in each group. What is said in the past tense is
  tested on the trials that had ended when it was said, the rest on all. A correlation is no cause: trials differ in
  other parameters too, and are not drawn at random.
- A standing ("trial 7 is the best so far"): the trials that had ended when it was said; "among the best" is the best
  quarter and at least five, and is contradicted below the median.
- What a trial should bring: its value against the best one before it; for the effect of a parameter only where nothing
  else differs between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from sllmbo.history import History, Observation
from sllmbo.report.claims import Claim, Effect, Prediction, Standing, Vague

Verdict: TypeAlias = Literal["supported", "contradicted", "unverifiable"]

Kind: TypeAlias = Literal["effect", "standing", "prediction", "vague"]

LEVEL = 0.05
"""Of the tests, two-sided."""
FEWEST = 10
"""Complete trials that a test needs."""
_FEWEST_PER_GROUP = 4
_FEWEST_VALUES = 3
_AMONG = 5
"""How many trials are among the best in any case."""


@dataclass(frozen=True, slots=True)
class Check:
    """A claim, and what the trials say of it."""

    text: str
    """The clause that makes the claim."""
    claim: str
    """The claim as it was understood, in fixed words; empty where it was not."""
    verdict: Verdict
    test: str
    """By which test, with its outcome, or why there is none."""
    kind: Kind
    """What it is about: an effect of a parameter, where a trial stands, what its trial will bring; else "vague"."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The trials that a claim is held against."""

    history: History
    """All trials of the study."""
    known: History
    """Those that had ended when the claim was made."""
    own: Observation
    """The trial whose rationale makes the claim."""


def check(claim: Claim, evidence: Evidence) -> Check:
    """Return what the trials say of *claim*."""
    if isinstance(claim, Vague):
        return Check(claim.text, "", "unverifiable", f"not checked: {claim.reason}", "vague")
    kind: Kind = "effect"
    if isinstance(claim, Standing):
        kind, (verdict, test) = "standing", _standing(claim, evidence)
    elif isinstance(claim, Prediction):
        kind, (verdict, test) = "prediction", _outcome(evidence)
    elif claim.when == "outcome":
        kind, (verdict, test) = "prediction", _effect_on_outcome(claim, evidence)
    else:
        verdict, test = _effect(claim, evidence)
    return Check(claim.text, in_words(claim), verdict, test, kind)


def overall(checks: Sequence[Check]) -> Verdict:
    """Return the verdict on a rationale: contradicted if any claim is, else supported if any is."""
    verdicts = {one.verdict for one in checks}
    return next((v for v in ("contradicted", "supported") if v in verdicts), "unverifiable")


def in_words(claim: Effect | Standing | Prediction) -> str:
    """Return *claim* in fixed words."""
    if isinstance(claim, Standing):
        of = f" at {claim.value}" if claim.value else ""
        return f"trial {claim.trial}{of} is {'among the best' if claim.among else 'the best so far'}"
    if isinstance(claim, Prediction):
        return "this trial will be better than the best before it"
    outcome = "overfit more" if claim.overfits else "are better" if claim.better else "are worse"
    if claim.category is not None:
        return f"trials with {claim.parameter}={claim.category} {outcome}"
    if claim.border is not None:
        return f"trials with {claim.parameter} {'above' if claim.up else 'below'} {claim.border:g} {outcome}"
    return f"trials with a {'larger' if claim.up else 'smaller'} {claim.parameter} {outcome}"


def _effect(claim: Effect, evidence: Evidence) -> tuple[Verdict, str]:
    history = evidence.known if claim.when == "before" else evidence.history
    whose = "before it" if claim.when == "before" else "of the study"
    points = [
        (o.params[claim.parameter], merit)
        for o in history.complete()
        if o.source != "repeat" and claim.parameter in o.params and (merit := _merit(o, claim, history)) is not None
    ]
    measured = " that have a training value" if claim.overfits else ""
    if len(points) < FEWEST:
        return "unverifiable", f"{len(points)} complete trials {whose}{measured}, fewer than {FEWEST}"
    values, merits = [value for value, _ in points], np.array([merit for _, merit in points])
    if claim.category is not None:
        return _groups(np.array([str(value) == claim.category for value in values]), merits, claim, whose)
    numbers = np.array(values, dtype=float)
    if claim.border is not None:
        inside = numbers > claim.border if claim.up else numbers < claim.border
        return _groups(inside, merits, claim, whose)
    if len(set(numbers.tolist())) < _FEWEST_VALUES or len(set(merits.tolist())) < _FEWEST_VALUES:
        return "unverifiable", f"too few different values among the {len(points)} trials {whose}"
    from scipy.stats import spearmanr

    found = spearmanr(numbers, merits)
    rho, p = float(found.statistic), float(found.pvalue)
    test = f"Spearman {rho:+.2f}, p = {_p(p)}, {len(points)} trials {whose}"
    return _by_sign(rho if claim.up else -rho, p, claim), test


def _groups(
    inside: np.ndarray[Any, Any], merits: np.ndarray[Any, Any], claim: Effect, whose: str
) -> tuple[Verdict, str]:
    n_in, n_out = int(inside.sum()), int((~inside).sum())
    if min(n_in, n_out) < _FEWEST_PER_GROUP:
        return "unverifiable", f"{n_in} trials {whose} against {n_out}, fewer than {_FEWEST_PER_GROUP} in a group"
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(merits[inside], merits[~inside], alternative="two-sided")
    share = float(found.statistic) / (n_in * n_out)
    p = float(found.pvalue)
    test = f"Mann-Whitney {share:.2f}, p = {_p(p)}, {n_in} against {n_out} trials {whose}"
    return _by_sign(share - 0.5, p, claim), test


def _by_sign(association: float, p: float, claim: Effect) -> Verdict:
    if not p < LEVEL:  # also where it is not a number
        return "unverifiable"
    return "supported" if (association > 0) == (claim.better or claim.overfits) else "contradicted"


def _merit(observation: Observation, claim: Effect, history: History) -> float | None:
    """Return what is larger for better trials; for "overfits", what is larger the further training is ahead."""
    sign = -1.0 if history.direction == "minimize" else 1.0
    value = observation.value
    if value is None or not claim.overfits:
        return None if value is None else sign * value
    train = observation.details.get("train_value")
    return None if train is None or not np.isfinite(train) else sign * (train - value)


def _standing(claim: Standing, evidence: Evidence) -> tuple[Verdict, str]:
    ranked = [o for o in evidence.known.ranked() if o.source != "repeat"]
    places = [place for place, o in enumerate(ranked) if o.number == claim.trial]
    if not ranked:
        return "unverifiable", "no trial was complete then"
    if not places:
        return "contradicted", f"trial {claim.trial} was not complete then; the best was trial {ranked[0].number}"
    own, best = ranked[places[0]], ranked[0]
    place = 1 + sum(o.value != own.value for o in ranked[: places[0]])  # equal ones share a place
    test = f"place {place} of {len(ranked)} trials before it"
    if claim.value and not _reads(claim.value, own.value):
        return "contradicted", f"its value was {own.value:.6g}"
    if not claim.among:
        return ("supported", test) if own.value == best.value else ("contradicted", f"{test}; trial {best.number} led")
    if place <= max(_AMONG, -(-len(ranked) // 4)):
        return "supported", test
    return ("contradicted" if place > (len(ranked) + 1) / 2 else "unverifiable"), test


def _reads(written: str, value: float | None) -> bool:
    """Tell whether *written* is *value*, to the digits that are written."""
    try:
        number = float(written.replace(",", ""))
    except ValueError:
        return True
    mantissa = written.lower().partition("e")[0]
    digits = max(len(mantissa.replace(".", "").replace(",", "").lstrip("+-0")), 1)
    return value is not None and abs(number - value) <= 0.51 * 10.0 ** (_exponent(value) - digits + 1)


def _exponent(value: float) -> int:
    return int(np.floor(np.log10(abs(value)))) if value else 0


def _outcome(evidence: Evidence) -> tuple[Verdict, str]:
    best, own = evidence.known.best, evidence.own
    if best is None or best.value is None:
        return "unverifiable", "no trial was complete before it"
    if own.state != "complete" or own.value is None:
        return "unverifiable", f"the trial is {own.state}"
    test = f"{own.value:.6g} against {best.value:.6g} of trial {best.number}, the best before it"
    if own.value == best.value:
        return "unverifiable", test
    return ("supported" if evidence.known.is_better(own.value, best.value) else "contradicted"), test


def _effect_on_outcome(claim: Effect, evidence: Evidence) -> tuple[Verdict, str]:
    best, own = evidence.known.best, evidence.own
    if best is None or claim.category is not None or claim.border is not None or claim.overfits or not claim.better:
        return "unverifiable", "what it should bring cannot be read off one trial"
    if not _moved_alone(claim, best.params, own.params):
        return "unverifiable", f"trial {best.number}, the best before it, differs in more than {claim.parameter}"
    return _outcome(evidence)


def _moved_alone(claim: Effect, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    name = claim.parameter
    return changed == [name] and name in old and name in new and (new[name] > old[name]) == claim.up


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
