"""What comes in at a generator's door, and the parts it is taken into."""

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Floats, Ints


def checked(X: Floats, y: Ints) -> tuple[Floats, Ints]:
    """Return copies of rows and labels, or say what is wrong with them."""
    X, y = np.array(X, dtype=np.float64), np.array(y)
    if X.ndim != 2 or not X.size:
        raise StsError(f"rows of features are wanted, not an array of shape {X.shape}")
    if y.shape != (len(X),) or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise StsError(f"{len(X)} labels from 0 on are wanted, one a row, not {y.dtype} {y.shape}")
    if not np.isfinite(X).all():
        raise StsError("rows must be complete: impute missing values first")
    return X, y.astype(np.int64)


def rows_of_class(X: Floats, y: Ints, label: int) -> Floats:
    """Return the rows of one class, of which there must be some."""
    found = X[y == label]
    if not len(found):
        raise StsError(f"class {label} has no training row to make others from")
    return np.asarray(found)


def seed_from(rng: np.random.Generator, below: int = 2**31 - 1) -> int:
    """Return a seed for a library that cannot draw from a generator of numpy."""
    return int(rng.integers(below))


def held_out_rows(y: Ints, part: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return which rows to train on and which to judge by: a part of each class, rounded down."""
    judged = [
        rng.permutation(rows)[: int(part * len(rows))]
        for rows in (np.flatnonzero(y == label) for label in np.unique(y))
    ]
    kept = np.sort(np.concatenate(judged))
    return np.setdiff1d(np.arange(len(y)), kept), kept
