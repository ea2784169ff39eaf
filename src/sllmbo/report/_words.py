"""
Which words of a text mean which parameter of a space, or one of its categories.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sllmbo.advisors.rules.meaning import canonical
from sllmbo.space import Categorical, SearchSpace

_TERMS: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("learning rate", "step size", "lr", "eta"),
    "learning_rate_init": ("learning rate", "step size", "lr"),
    "n_estimators": ("boosting rounds", "number of trees", "n_trees"),
    "max_depth": ("tree depth", "depth"),
    "num_leaves": ("leaf count", "number of leaves"),
    "subsample": ("row sampling", "row subsampling", "bagging fraction"),
    "colsample_bytree": ("column sampling", "feature fraction", "column subsampling", "feature subsampling"),
    "reg_lambda": ("l2 regularization", "l2 regularisation"),
    "reg_alpha": ("l1 regularization", "l1 regularisation"),
    "weight_decay": ("decay",),
    "n_neighbors": ("neighbours", "number of neighbours"),
    "width": ("hidden units", "layer width"),
    "hidden_size": ("hidden units", "layer width"),
    "depth": ("number of layers",),
    "n_layers": ("number of layers", "layers"),
}
"""Other words for parameters, by the usual name."""

_DEPTH = ("max_depth", "depth", "n_layers", "num_layers")
_WIDTH = ("width", "hidden_size", "units", "n_units", "hidden_layer_sizes")
_ROUNDS = ("n_estimators", "max_iter")
_THINGS = (
    (r"deep(?:er)?(?:\s+(?:trees?|networks?|nets?|layers))?", "higher", _DEPTH),
    (r"shallow(?:er)?(?:\s+(?:trees?|networks?|nets?))?", "lower", _DEPTH),
    (r"wider(?:\s+(?:networks?|nets?|layers?))?", "higher", _WIDTH),
    (r"narrower(?:\s+(?:networks?|nets?|layers?))?", "lower", _WIDTH),
    (r"more\s+(?:(?:boosting\s+)?rounds|trees|estimators|iterations)", "higher", _ROUNDS),
    (r"fewer\s+(?:(?:boosting\s+)?rounds|trees|estimators|iterations)", "lower", _ROUNDS),
    (r"more\s+leaves", "higher", ("num_leaves", "max_leaf_nodes")),
    (r"fewer\s+leaves", "lower", ("num_leaves", "max_leaf_nodes")),
    (r"(?:larger|bigger)\s+batch(?:es)?", "higher", ("batch_size",)),
    (r"smaller\s+batch(?:es)?", "lower", ("batch_size",)),
)
"""Words that mean a parameter and a direction at once."""

_COMMON = frozenset(
    (
        *("a", "i", "the", "and", "or", "is", "are", "of", "on", "in", "to", "max", "min", "value", "values", "trial"),
        *("trials", "top", "best", "better", "worse", "worst", "higher", "lower", "larger", "smaller", "more", "less"),
        *("high", "low", "large", "small", "good", "bad"),
    )
)
"""Words of the grammar, which no parameter or category can take."""
_SHORTEST_CATEGORY = 3
_LETTER = re.compile(r"(?<![\w.])([A-Za-z])(?![\w'])")

AMBIGUOUS = "x"
"""The token of a word that means several parameters."""


class Mentions:
    """Finds the parameters and categories of a space in texts."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._names = list(space)
        by_word: dict[str, set[str]] = {}
        for word, token in self._words():
            by_word.setdefault(word, set()).add(token)
        self._tokens = {word: tokens.pop() for word, tokens in by_word.items() if len(tokens) == 1}
        longest_first = sorted(by_word, key=len, reverse=True)
        self._pattern = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, longest_first)) + r")(?:'s|s)?(?!\w)")
        self._things = [(re.compile(rf"\b{words}(?!\w)"), f"{way} ", token) for words, way, token in self._implied()]

    def mark(self, text: str) -> tuple[str, list[str]]:
        """Return *text* in lower case with a token in place of each mention, and the tokens, each once."""
        text = text.replace("\x00", " ").replace("`", "").replace("\u2019", "'")
        found: dict[str, None] = {}

        def replaced(match: re.Match[str]) -> str:
            word = match.group()
            token = self._tokens.get(word) or self._tokens.get(re.sub(r"(?:'s|s)$", "", word)) or AMBIGUOUS
            found[token] = None
            return f"\x00{token}\x00"

        # One letter is a name in its own case alone.
        text = "".join(part if part in self._tokens else part.lower() for part in _LETTER.split(text))
        text = self._pattern.sub(replaced, text) if self._tokens else text
        for pattern, way, token in self._things:
            text, n = pattern.subn(f"{way}\x00{token}\x00", text)
            if n:
                found[token] = None
        return text, list(found)

    def meaning(self, token: str) -> tuple[str, object]:
        """Return the parameter of *token*, and the text of its category or None."""
        place, _, choice = token[1:].partition("c")
        name = self._names[int(place)]
        parameter = self._space[name]
        return name, str(parameter.choices[int(choice)]) if choice and isinstance(parameter, Categorical) else None

    def _words(self) -> Iterator[tuple[str, str]]:
        for place, (name, parameter) in enumerate(self._space.items()):
            bare = name.rpartition("__")[2]
            for word in {name, bare, bare.replace("_", " "), bare.replace("_", "-"), *_TERMS.get(canonical(name), ())}:
                if word.lower() not in _COMMON:
                    yield (word if len(word) == 1 else word.lower()), f"p{place}"
            if isinstance(parameter, Categorical):
                for index, choice in enumerate(parameter.choices):
                    if isinstance(choice, str) and len(choice) >= _SHORTEST_CATEGORY and choice.lower() not in _COMMON:
                        yield f"{name}={choice}".lower(), f"p{place}c{index}"
                        yield choice.lower(), f"p{place}c{index}"

    def _implied(self) -> Iterator[tuple[str, str, str]]:
        for words, way, meanings in _THINGS:
            meant = [place for place, name in enumerate(self._names) if canonical(name) in meanings or name in meanings]
            if len(meant) == 1 and not isinstance(self._space[self._names[meant[0]]], Categorical):
                yield words, way, f"p{meant[0]}"
