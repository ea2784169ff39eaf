"""
Text that is there on every machine: first sentences of docstrings, to be told apart by the package they come from.

No corpus comes with any package that sllmbo needs, so one is made. The files of numpy, pandas, scipy and scikit-learn,
as they are installed, are read (not imported) in an order that looks random and is always the same, until enough
docstrings are found; the packages' own names are taken out. Values are comparable only between the same versions of the
four packages.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sllmbo.benchmarks.problem import Problem
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task
from sllmbo.tuner.metrics import resolve_metric

PACKAGES = ("numpy", "pandas", "scipy", "sklearn")
PER_PACKAGE = 700
_FEWEST_WORDS = 5
_NAMES = re.compile(r"\b(numpy|np|pandas|pd|scipy|scikit-learn|sklearn)\b", re.IGNORECASE)

SPACE = SearchSpace(
    {
        "analyzer": Categorical(["word", "char_wb"], default="word", description="Terms of words or of letters."),
        "ngram_max": Int(1, 4, default=1, description="Longest term, in words or letters; the shortest is 1."),
        "min_df": Int(1, 10, default=1, description="Fewest sentences that a term must be in."),
        "max_df": Float(0.2, 1.0, default=1.0, description="Largest share of the sentences that a term may be in."),
        "sublinear_tf": Categorical([False, True], default=False, description="Logarithm of the counts of terms."),
        "loss": Categorical(["hinge", "log_loss", "modified_huber"], default="hinge"),
        "alpha": Float(1e-6, 0.1, log=True, default=1e-4, description="Weight of the penalty."),
        "penalty": Categorical(["l2", "l1", "elasticnet"], default="l2"),
        "l1_ratio": Float(0.0, 1.0, default=0.15, condition=When("penalty", ["elasticnet"])),
    }
)


@dataclass(frozen=True, slots=True)
class _Sentences:
    texts: tuple[str, ...]
    packages: tuple[str, ...]

    def split(self, share: float) -> tuple[_Sentences, _Sentences]:
        """Set a share of the sentences of each package aside."""
        from sklearn.model_selection import train_test_split

        left = train_test_split(self.texts, self.packages, test_size=share, random_state=0, stratify=self.packages)
        kept, aside, kept_packages, aside_packages = map(tuple, left)
        return _Sentences(kept, kept_packages), _Sentences(aside, aside_packages)


def text(suite: str) -> Problem:
    """Return the problem of tuning a linear classifier of short texts, by macro F1."""
    rest, test = corpus().split(0.25)
    train, valid = rest.split(1 / 3)
    return Problem(
        suite=suite,
        name="text",
        task=Task(
            description="Tell from the first sentence of a docstring which package it is from: numpy, pandas, scipy or "
            "scikit-learn. Terms are weighted by TF-IDF and classified by a linear model, judged on other sentences.",
            estimator="TfidfVectorizer and SGDClassifier of scikit-learn",
            metric="f1_macro",
            direction="maximize",
            data=DataFacts(
                kind="classification",
                n_rows=len(train.texts),
                n_features=1,
                n_classes=len(PACKAGES),
                minority_share=1 / len(PACKAGES),
            ),
        ),
        space=SPACE,
        evaluate=lambda params, repeat: _score(params, train, valid),  # noqa: ARG005  # every repeat is the same
        truth=lambda params: _score(params, rest, test),
    )


def _score(params: Mapping[str, Any], train: _Sentences, test: _Sentences) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    of_terms = {name: params[name] for name in ("analyzer", "min_df", "max_df", "sublinear_tf")}
    of_model = {name: params[name] for name in ("loss", "alpha", "penalty", "l1_ratio") if name in params}
    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, params["ngram_max"]), **of_terms), SGDClassifier(random_state=0, **of_model)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of passes that end before convergence
        pipeline.fit(train.texts, train.packages)
    metric = resolve_metric("f1_macro", "classification", len(PACKAGES))
    return metric.score(pipeline, test.texts, test.packages)


@cache
def corpus() -> _Sentences:
    """Return the sentences, as many of each package."""
    texts: list[str] = []
    packages: list[str] = []
    for package in PACKAGES:
        found: dict[str, None] = {}
        for sentence in _sentences(package):
            found[sentence] = None
            if len(found) == PER_PACKAGE:
                break
        texts.extend(found)
        packages.extend([package] * len(found))
    return _Sentences(tuple(texts), tuple(packages))


def _sentences(package: str) -> Iterator[str]:
    """Give the first paragraph of each docstring that is long enough, without names of packages."""
    for path in _files(package):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first = (ast.get_docstring(node) or "").partition("\n\n")[0]
                sentence = " ".join(_NAMES.sub(" ", first).split())
                if len(sentence.split()) >= _FEWEST_WORDS:
                    yield sentence


def _files(package: str) -> list[Path]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    inside = [path.relative_to(root).as_posix() for path in root.rglob("*.py")]
    code = [name for name in inside if "test" not in name]
    return [root / name for name in sorted(code, key=lambda name: hashlib.sha256(name.encode()).digest())]
