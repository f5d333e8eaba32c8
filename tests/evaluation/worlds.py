"""Made-up classifiers whose truth is known."""

from typing import Any

import numpy as np

from sts.base.types import CLASSES, Floats
from sts.evaluation.predictions import Predictions
from sts.evaluation.type_tree import TypeTree

# About the shares of the four classes in the study.
SHARES = (0.19, 0.14, 0.32, 0.35)


def softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = odds / odds.sum(axis=1, keepdims=True)
    return shares


def sum_up(tree: TypeTree, leaves: Floats) -> Floats:
    """Return the probability of every node, (cells, nodes): the sum over its leaves."""
    return np.asarray(leaves @ tree.contains[:, tree.leaves].T.astype(np.float64))


def make_predictions(
    cells: int = 300, *, seed: int = 0, skill: float = 2.5, noise: int = 0, **changed: Any
) -> Predictions:
    """Return predictions; `seed` decides on the cells, `noise` on what is said of them."""
    rng = np.random.default_rng(seed)
    classes = changed.pop("classes", CLASSES)
    truth = rng.choice(
        len(classes), cells, p=SHARES[: len(classes)] / np.sum(SHARES[: len(classes)])
    )
    dataset = rng.choice(["PatchClamp", "PatchSeq"], cells, p=[0.25, 0.75])
    ids = rng.permutation(np.arange(601_000_000, 601_000_000 + cells)).astype(str)
    logits = np.random.default_rng((seed, noise)).normal(0, 1.3, (cells, len(classes)))
    logits[np.arange(cells), truth] += skill
    parts = {
        "specimen_id": ids,
        "dataset": dataset,
        "truth": truth,
        "probabilities": softmax(logits),
        "classes": classes,
    }
    return Predictions(**{**parts, **changed})


def perfect(predictions: Predictions) -> Predictions:
    """Return the same cells, each surely of its class."""
    return Predictions(
        specimen_id=predictions.specimen_id,
        dataset=predictions.dataset,
        truth=predictions.truth,
        probabilities=np.eye(len(predictions.classes))[predictions.truth],
        classes=predictions.classes,
    )
