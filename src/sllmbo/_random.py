"""
One seed in, independent generators out.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *path: int | str) -> int:
    """
    Return a 32-bit seed that depends on *seed* and *path* alone.

    Streams of different paths are independent, and the same in every process: no running state, no `hash()`.
    """
    text = "/".join([str(seed), *map(str, path)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """Return a generator seeded by `derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *path))
