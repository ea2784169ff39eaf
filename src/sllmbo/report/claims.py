"""
What a rationale claims: words into (parameter, direction, better or worse), by a small grammar.

A rationale is read clause by clause. A clause makes a claim if it has exactly one parameter of the space (or one of
its categories), words for one direction ("larger", "fewer", "above 0.1", "deeper trees") and words for one outcome
("helped", "worse", "the better trials have"). Or if it says that a trial is the best or among the best, or that this
trial should be better than the best one. A clause with words for an outcome that is anything else (two parameters, a
negation, "may", "if", "moderate", "too large", a single value) is kept with the reason why it cannot be checked: rather
that than a wrong verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from sllmbo.report._words import AMBIGUOUS, Mentions
from sllmbo.space import SearchSpace

When: TypeAlias = Literal["before", "ever", "outcome"]
"""Whether a claim is about the trials before it (past tense), about all, or about what its own trial will bring."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Larger (or smaller) values of a parameter, or one of its categories, go with better (or worse) trials."""

    text: str
    _: KW_ONLY
    parameter: str
    better: bool
    up: bool = True
    """Whether it is said of larger values."""
    category: object = None
    """The category that it is said of, as its text; None for numbers."""
    border: float | None = None
    """Where larger values begin, if that is said."""
    overfits: bool = False
    """Whether it is said of the lead of the training value over the validation value."""
    when: When = "ever"


@dataclass(frozen=True, slots=True)
class Standing:
    """A trial is the best so far, or among the best."""

    text: str
    _: KW_ONLY
    trial: int
    among: bool
    value: str = ""
    """The value that it is said to have, as it is written."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """This trial will be better than the best one before it."""

    text: str


@dataclass(frozen=True, slots=True)
class Vague:
    """Something is said about an outcome that the grammar does not cover."""

    text: str
    reason: str


Claim: TypeAlias = Effect | Standing | Prediction | Vague

_BREAK = re.compile(
    r"(?<=[.;!?:])\s+|\n+|\s*[;\u2013\u2014]\s+|,\s+(?=(?:so|as|and|yet|which)\b)"
    r"|,?\s+(?=(?:but|whereas|because|although|though|while|since(?! trial)|so that)\b)",
    re.IGNORECASE,
)
_BEST = (
    r"(?:is|was|remains|being|as)?\s*(?:still\s+)?(?:the\s+)?(?:current\s+|overall\s+)?(?:best|incumbent|leader)\b"
    r"(?!\s+(?:quarter|third|trials|ones|few))"
)
_NUMBER = r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?"
_NUMBERED = r"(?:\btrials?\s+#?|(?<![\w#])#)"
_STANDING = (
    re.compile(
        rf"{_NUMBERED}(?P<n>\d+)\s*(?:[(=,]\s*(?P<v>{_NUMBER})\s*[),]?\s*)?(?P<what>is among the best\b|{_BEST})"
    ),
    re.compile(
        rf"\b(?P<what>best|incumbent|leader)(?:\s+(?:trial|so far|one))*\s*(?:is|was|[,(:])\s*{_NUMBERED}(?P<n>\d+)"
        rf"(?:\s*[(=,]\s*(?P<v>{_NUMBER}))?"
    ),
    re.compile(rf"\bno improvement\b.{{0,30}}\bsince {_NUMBERED}(?P<n>\d+)(?P<what>)"),
    re.compile(rf"{_NUMBERED}(?P<n>\d+)\s+and\s+#?(?P<m>\d+)\s+(?P<what>are among the best)\b"),
)
_TRIAL = re.compile(rf"{_NUMBERED}\d+|\bthis trial\b")
_CITED = re.compile(rf"\s*\((?:see\s+|in\s+|cf\.?\s+)?{_NUMBERED}\d+(?:(?:,|,?\s+and|\s+to|-)\s*#?\d+)*\)")
"""Trials that a claim rests on, as the words for chat models ask for."""

_BETTER = re.compile(
    r"\b(?:better|best|improv(?:e|es|ed|ing|ements?)|help(?:s|ed|ful|ing)?|gains?|gained|outperform(?:s|ed)?|wins?|won"
    r"|benefi(?:ts?|ted|cial)|pa(?:ys?|id) off|(?:work|perform|do|generali[sz]e)(?:s|es|ed)? well|did well|good|top"
    r"|promising|superior|beats?|favou?r(?:s|ed)?|prefer(?:s|red)?|successful)\b"
)
_WORSE = re.compile(
    r"\b(?:worse|worst|hurt(?:s|ing)?|harm(?:s|ed|ful)?|degrad(?:e|es|ed|ing)|bad(?:ly)?|poor(?:ly|er|est)?|inferior"
    r"|suffer(?:s|ed)?|detrimental|unfavou?rable)\b"
)
_OVERFITS = re.compile(r"\boverfit(?:s|ting|ted)?\b")
_LOWER_IS_BETTER = r"(?:loss|losses|errors?|mae|mse|rmse|logloss|log loss|regret)"
_HIGHER_IS_BETTER = r"(?:accuracy|accuracies|f1(?:[_ ]\w+)?|auc|r2)"
_ALIASES = (
    (
        re.compile(
            rf"\b(?:lower(?:s|ed|ing)?|smaller|reduc(?:es|ed|ing|e)|decreas(?:es|ed|ing|e)|less)\s+(?:the\s+)?"
            rf"(?:\w+\s+)?{_LOWER_IS_BETTER}\b"
        ),
        "better",
    ),
    (
        re.compile(rf"\b(?:higher|larger|increas(?:es|ed|ing|e)|more)\s+(?:the\s+)?(?:\w+\s+)?{_LOWER_IS_BETTER}\b"),
        "worse",
    ),
    (
        re.compile(
            rf"\b(?:higher|better|increas(?:es|ed|ing|e)|rais(?:es|ed|ing|e))\s+(?:the\s+)?(?:\w+\s+)?"
            rf"{_HIGHER_IS_BETTER}\b"
        ),
        "better",
    ),
    (
        re.compile(
            rf"\b(?:lower(?:s|ed|ing)?|reduc(?:es|ed|ing|e)|worse)\s+(?:the\s+)?(?:\w+\s+)?{_HIGHER_IS_BETTER}\b"
        ),
        "worse",
    ),
)
"""What is said of losses and accuracies, as one word; which scores are better nobody knows."""

_UP = r"larger|higher|bigger|greater|longer|increas(?:ed|ing|e|es)|rais(?:ed|ing|e|es)|upwards?"
_DOWN = (
    r"smaller|lower|shorter|reduc(?:ed|ing|e|es)|decreas(?:ed|ing|e|es)|lower(?:ing|ed|s)|shrink(?:ing|s)?|downwards?"
)
_PLAIN_UP, _PLAIN_DOWN = r"high|large|big|more|strong(?:er)?", r"low|small|less|fewer|weak(?:er)?"
_MENTION = r"\x00\w+\x00"
"""What `Mentions` puts in place of a parameter."""
_IS = r"(?:values?\s+)?(?:(?:is|are|was|were|at)\s+)?"


def _direction(words: str, plain: str) -> re.Pattern[str]:
    """Return what finds a comparative anywhere, and a plain word beside a parameter."""
    return re.compile(rf"\b(?:{words})\b|\b(?:{plain})\s+(?={_MENTION})|(?<=\x00)\s+{_IS}(?:{plain})\b")


_DIRECTIONS = ((True, _direction(_UP, _PLAIN_UP)), (False, _direction(_DOWN, _PLAIN_DOWN)))
_BORDERS = (
    (
        True,
        re.compile(
            rf"(?:\b(?:above|over|beyond|exceeding|at least|(?:larger|higher|greater|bigger|more) than)|>=?|\u2265)"
            rf"\s*(?P<border>{_NUMBER})"
        ),
    ),
    (
        False,
        re.compile(
            rf"(?:\b(?:below|under|at most|(?:smaller|lower|less|fewer) than)|<=?|\u2264)\s*(?P<border>{_NUMBER})"
        ),
    ),
)

_UNSURE = (
    (
        r"\b(?:prevent\w*|avoid\w*|combat\w*|against|guard\w*|limit\w*|fight\w*|reduc\w*|lower\w*|less|control\w*"
        r"|mitigat\w*|decreas\w*|curb\w*|counter\w*|address\w*)\b(?: \w+){0,3}? overfit"
        r"|\boverfit\w*(?: \w+){0,3}? (?:less|least)\b",
        "it is about less overfitting, for which there is no test",
    ),
    (
        r"\b(?:not|no|nor|never|neither|without|hardly|barely|cannot|unless|except|little|unclear|rarely|seldom|scarcely"
        r"|nothing|none|zero|fail(?:s|ed|ing)?|stop(?:s|ped)?|ceas\w*|lack\w*|minimi[sz]\w*"
        r"|(?<!\x00 )less(?! (?:than|\x00))|(?<!at )least)\b|n't\b",
        "it is negated or weakened",
    ),
    (
        r"\b(?:may|might|could|can|perhaps|possibly|maybe|whether|if|when|unless|until|once|explor\w*|test(?:s"
        r"|ing)?|probe"
        r"|see|try|trying|hop\w+|unknown|sometimes|often|usually|typically|tends?)\b",
        "it is said with a reservation",
    ),
    (
        r"\b(?:moderate\w*|medium|middle|mid\w*|intermediate|around|near|between|optim\w+|sweet|too(?= \w)"
        r"|enough|sufficient\w*|extreme\w*"
        r"|from|specific|particular|balanced?|trade\w*|(?<!trials )with)\b",
        "it is about a place or a combination, not a direction",
    ),
    (
        r"\b(?:\w*stab\w*|converg\w*|speeds?|fast\w*|slow\w*|time|memory|costs?|robust\w*|smooth\w*|nois\w*"
        r"|variance)\b|\b(?:improv(?:es?|ed|ing)|help(?:s|ed)?)\b(?=\s+\w)(?!(?:\s+[\w'-]+){0,2}?\s+(?:values?"
        r"|generali[sz]ation"
        r"|performance|accuracy|scores?|loss|errors?|results?|metric|objective|f1\w*|auc|r2|mae|mse|rmse|logloss|so|too"
        r"|here|most|more|further|slightly|clearly|consistently|only|it|on|over|upon|in)\b)",
        "it is about something else than the value",
    ),
    (r"\?\s*$", "it is a question"),
    (r"\x00 (?:\w+ )?(?:and|plus|or) |(?:\band|\bplus|\+) [^\x00]*\x00", "it may be about several things"),
)
_RESERVATIONS = tuple((re.compile(pattern), reason) for pattern, reason in _UNSURE)
_FUTURE = re.compile(r"\b(?:should|will|would|expect(?:ed|s|ing)?|likely|to (?:improve|help|gain|beat|outperform))\b")
_PAST = re.compile(
    r"\b(?:so far|trials?|seen|observed|history|evidence|results?|was|were|did|had|has|have|been|helped|improved|hurt"
    r"|won|worked|performed|gained|degraded|harmed|favou?red|preferred|outperformed|gave|scored|reached|benefited"
    r"|suffered|ones)\b"
)
_BEATS = re.compile(
    r"\b(?:beats?|improves?|improve (?:on|upon|over)|outperforms?|better than|surpass\w*|exceeds?)\b.{0,20}?"
    r"\b(?:best|incumbent|leader|it|this)\b"
)


def parse(rationale: str, space: SearchSpace) -> list[Claim]:
    """Return what *rationale* claims about *space*, in order; nothing where it says nothing about an outcome."""
    mentions = Mentions(space)
    claims: list[Claim] = []
    before: Sequence[str] = ()
    for clause in filter(None, map(str.strip, _BREAK.split(rationale))):
        marked, named = mentions.mark(clause)
        claims += _claims(clause, marked, named, before, mentions)
        before = named or before
    return claims


def _claims(
    clause: str, marked: str, named: Sequence[str], before: Sequence[str], mentions: Mentions
) -> Iterator[Claim]:
    standings = list(_standings(clause, marked))
    yield from standings
    marked = _CITED.sub("", marked)
    if standings or _TRIAL.search(marked):
        return
    text = marked.partition(" than ")[0] if not re.search(r"than\s*[-+\d]", marked) else marked
    for pattern, word in _ALIASES:
        text = pattern.sub(word, text)
    outcomes = {
        what
        for what, pattern in (("better", _BETTER), ("worse", _WORSE), ("overfits", _OVERFITS))
        if pattern.search(text)
    }
    if not outcomes:
        return
    unsure = next((reason for pattern, reason in _RESERVATIONS if pattern.search(text)), "")
    if unsure:
        yield Vague(clause, unsure)
    elif not named and _FUTURE.search(marked) and _BEATS.search(marked):
        yield Prediction(clause)
    elif len(outcomes) > 1:
        yield Vague(clause, "it is about better and worse at once")
    else:
        yield _effect(clause, text, named, before, outcomes.pop(), mentions)


def _effect(
    clause: str, text: str, named: Sequence[str], before: Sequence[str], outcome: str, mentions: Mentions
) -> Claim:
    if not named and re.search(r"\bvalues?\b", text) and len(before) == 1:
        named = before
    if len(named) != 1 or named[0] == AMBIGUOUS:
        return Vague(clause, "it names no parameter" if not named else "it names several parameters")
    parameter, category = mentions.meaning(named[0])
    borders = [(up, float(m["border"].replace(",", ""))) for up, p in _BORDERS for m in p.finditer(text)]
    ups = {up for up, pattern in _DIRECTIONS if pattern.search(text)}
    when: When = "outcome" if _FUTURE.search(text) else "before" if _PAST.search(text) else "ever"
    overfits, better = outcome == "overfits", outcome == "better"
    if category is not None:
        if ups or borders or overfits:
            return Vague(clause, "it is about a category, and about more")
        return Effect(clause, parameter=parameter, better=better, category=category, when=when)
    if len(borders) == 1 and len(ups | {borders[0][0]}) == 1:
        up, border = borders[0]
        return Effect(clause, parameter=parameter, better=better, up=up, border=border, overfits=overfits, when=when)
    if borders or len(ups) != 1:
        return Vague(clause, "it names no direction" if not ups else "it names several directions")
    if re.search(r"\d", re.sub(_MENTION, "", text)):
        return Vague(clause, "it is about single values")
    return Effect(clause, parameter=parameter, better=better, up=ups.pop(), overfits=overfits, when=when)


def _standings(clause: str, marked: str) -> Iterator[Standing]:
    if re.search(r"\bnot\b|n't\b|\bno longer\b", marked):
        return
    for pattern in _STANDING:
        for match in pattern.finditer(marked):
            found = match.groupdict()
            for number in (found["n"], found.get("m")):
                if number is not None:
                    among = "among" in found["what"]
                    yield Standing(
                        clause, trial=int(number[:9]), among=among, value=(found.get("v") or "").rstrip(",.")
                    )
