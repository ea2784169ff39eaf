"""
A text classifier: which package is a sentence about? A whole scikit-learn pipeline is tuned, from words to penalty.

The texts are the first sentences of docstrings of packages that are installed anyway.
"""

import ast
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

from scipy.stats import loguniform
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sllmbo.integrations.sklearn import LLMSearchCV

PACKAGES, PER_PACKAGE = ("numpy", "pandas", "scipy", "sklearn"), 200


def sentences(package: str) -> list[str]:
    found: dict[str, None] = {}
    for path in sorted(Path(find_spec(package).origin).parent.rglob("*.py")):
        if "test" in str(path) or len(found) >= PER_PACKAGE:
            continue
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = (ast.get_docstring(node) or "").partition("\n\n")[0]
                text = " ".join(
                    re.sub(r"numpy|pandas|scipy|scikit|sklearn|\bnp\b|\bpd\b", " ", text, flags=re.I).split()
                )
                if len(text.split()) >= 6:
                    found[text] = None
    return list(found)[:PER_PACKAGE]


texts, labels = [], []
for package in PACKAGES:
    own = sentences(package)
    texts += own
    labels += [package] * len(own)
train, test, y_train, y_test = train_test_split(texts, labels, test_size=0.3, random_state=0, stratify=labels)

search = LLMSearchCV(
    make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)),
    {
        "tfidfvectorizer__analyzer": ["word", "char_wb"],
        "tfidfvectorizer__ngram_range": [(1, 1), (1, 2), (1, 3), (2, 5)],
        "tfidfvectorizer__sublinear_tf": [False, True],
        "tfidfvectorizer__min_df": [1, 2, 3],
        "sgdclassifier__loss": ["hinge", "log_loss", "modified_huber"],
        "sgdclassifier__alpha": loguniform(1e-6, 1e-2),
    },
    n_trials=20,
    cv=3,
    scoring="f1_macro",
    llm="offline",
    random_state=0,
)
search.fit(train, y_train)
default = make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)).fit(train, y_train)

print("default", search.cv_results_["mean_test_score"][0], "best", search.best_score_, search.best_params_)
print(
    "accuracy on other sentences: default",
    default.score(test, y_test),
    "best",
    search.best_estimator_.score(test, y_test),
)
