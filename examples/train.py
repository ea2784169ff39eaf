"""
A training script that knows nothing of sllmbo: a classifier of digits on random features, trained by gradient descent.

It is allowed 1 GiB of memory, which many features take, and it diverges where the steps are too large.
`command.sh` tunes it.
"""

import argparse
import resource
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

DIGITS = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"

parser = argparse.ArgumentParser()
parser.add_argument("--features", type=int, default=256, help="how many random features")
parser.add_argument("--reach", type=float, default=1.0, help="how far apart two images still resemble one another")
parser.add_argument("--lr", type=float, default=0.01, help="size of the steps")
parser.add_argument("--momentum", type=float, default=0.0)
parser.add_argument("--epochs", type=int, default=20)
given = parser.parse_args()

resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
np.seterr(all="ignore")
rng = np.random.default_rng(0)
rows = rng.permutation(np.loadtxt(DIGITS, delimiter=","))  # scikit-learn's, whose import would take longer than this
X, targets = rows[:, :-1] / 16, np.eye(10)[rows[:, -1].astype(int)]
directions = rng.normal(size=(X.shape[1], given.features)) / given.reach
seen = np.cos(X @ directions + rng.uniform(0, 2 * np.pi, given.features)) * np.sqrt(2 / given.features)
train, valid = slice(0, 1200), slice(1200, None)

weights, step = np.zeros((given.features, 10)), np.zeros((given.features, 10))
for epoch in range(1, given.epochs + 1):
    for batch in np.array_split(np.arange(1200), 12):
        slope = seen[batch].T @ (seen[batch] @ weights - targets[batch])
        step = given.momentum * step - given.lr * slope
        weights += step
    loss = float(np.mean((seen[valid] @ weights - targets[valid]) ** 2))
    print(f"sllmbo: step={epoch} value={loss}")  # lets a pruner end the run; without it, the last line is enough
    if not loss < 1e6:
        sys.exit(f"FloatingPointError: the loss was {loss:.3g} after {epoch} epochs")
print(f"loss={loss}")
