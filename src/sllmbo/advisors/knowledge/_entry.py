"""
What is known about one estimator: `KnownEstimator`, and a configuration worth trying: `StartingPoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, TypeAlias

from sllmbo.errors import TaskError
from sllmbo.space import Categorical, Int, Parameter, Scalar, SearchSpace
from sllmbo.task import DataFacts, Kind

FEW_ROWS = 2_000
"""Below this many rows, data count as few."""

RARE_CLASS = 0.4
"""A class counts as rare with less than this part of what it had if all were equal: below 20 % of two classes."""


def weighted(choice: str) -> Categorical:
    """Return the parameter that weighs classes equally by *choice*."""
    said = "Whether rare classes weigh more, up to equal total weight."
    return Categorical((None, choice), default=None, description=said)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A configuration worth trying early, and why."""

    name: str
    """What it is called in reports ("tuned default", "small data")."""

    params: Mapping[str, Scalar]
    """Values of some of the estimator's parameters; the others keep their defaults."""

    _: KW_ONLY
    rationale: str
    """The reason, one or two sentences."""

    source: str
    """Where the values or the rule behind them were published."""


StartRule: TypeAlias = Callable[[DataFacts], StartingPoint | None]
"""A rule that reads aggregates of the data and proposes a starting point, or None where it has nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEstimator:
    """Documented knowledge of one estimator."""

    name: str
    """The name that the command line uses ("lightgbm")."""

    aliases: tuple[str, ...]
    """Lower-case words by which a class name or a description names it; the name itself is always one."""

    class_paths: Mapping[Kind, str]
    """Import path of the class for each kind of problem that it solves."""

    spaces: Mapping[Kind, SearchSpace]
    """What to tune, for each kind; defaults are the library's own."""

    class_weights: Mapping[str, Parameter] = field(default_factory=dict)
    """What weighs classes, where the spaces do not have it: tuned where the rarest class is rare."""

    within_rows: tuple[str, ...] = ()
    """Integer parameters that cannot exceed the rows that are fitted on."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Constructor parameters to set beside the tuned ones, so that these take effect."""

    tuned_defaults: Mapping[Kind, tuple[StartingPoint, ...]] = field(default_factory=dict)
    """Published configurations that were tuned over many data sets."""

    start_rules: tuple[StartRule, ...] = ()
    """Rules that derive starting points from aggregates of the data."""

    foreign_starts: tuple[StartingPoint, ...] = ()
    """Starting points for spaces that name everything otherwise than the library does ("width", "depth")."""

    source: tuple[str, ...]
    """Where the knowledge of the entry comes from: documentation pages and papers."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of problem that the estimator solves."""
        return tuple(self.spaces)

    def space(self, kind: Kind, facts: DataFacts | None = None) -> SearchSpace:
        """
        Return what to tune for *kind*: by *facts* within the rows of a fold, and with weights where a class is rare.

        Raises:
            TaskError: If the estimator does not solve this kind of problem.
        """
        self._check(kind)
        space = self.spaces[kind]
        if facts is None:
            return space
        more = {name: _within(space[name], facts) for name in self.within_rows}
        if kind == "classification" and 0 < facts.minority_share * facts.n_classes < RARE_CLASS:
            more |= {n: p for n, p in self.class_weights.items() if n != "scale_pos_weight" or facts.n_classes == 2}
        return SearchSpace({**space, **more}) if more else space

    def class_path(self, kind: Kind) -> str:
        """
        Return the import path of the class for *kind*.

        Raises:
            TaskError: If the estimator does not solve this kind of problem.
        """
        self._check(kind)
        return self.class_paths[kind]

    def starting_points(self, kind: Kind, facts: DataFacts | None = None) -> tuple[StartingPoint, ...]:
        """
        Return the tuned defaults for *kind* and what the rules derive from *facts*, the one to try first in front.

        Published defaults were tuned on data sets of a thousand rows and more; for few rows the rules go first.
        """
        tuned = self.tuned_defaults.get(kind, ())
        if facts is None:
            return tuned
        derived = tuple(point for rule in self.start_rules if (point := rule(facts)) is not None)
        return derived[:1] + tuned + derived[1:] if facts.n_rows < FEW_ROWS else tuned + derived

    def _check(self, kind: Kind) -> None:
        if kind not in self.spaces:
            raise TaskError(
                f"The estimator {self.name!r} does {' and '.join(self.spaces)}, not {kind!r}; choose another estimator."
            )


def _within(parameter: Parameter, facts: DataFacts) -> Parameter:
    """Return *parameter* bounded by the rows of the smallest usual fold: of 2 folds, or the first of 5 in time."""
    assert isinstance(parameter, Int)
    limit = max(facts.n_rows // (6 if facts.ordered else 2), parameter.default or parameter.low)
    return replace(parameter, high=min(parameter.high, limit), limit=limit)
