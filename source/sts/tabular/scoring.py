"""How well neurons are told apart, over the classes that are there to be told."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sts.base.types import Floats, Ints

# The name of a score in files, and in text.
SCORES: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
}
LOWER_IS_BETTER: Final = frozenset({"log_loss"})
# In front of the name of a class: the column of its recall.
RECALL: Final = "recall_"


def scores_of(probabilities: Floats, truth: Ints, classes: Sequence[str]) -> dict[str, float]:
    """Return the scores and the recall of every class, NaN for one that no neuron is of.

    Means run over the classes that neurons truly are of.
    """
    count = len(classes)
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((count, count))
    np.add.at(confusion, (truth, predicted), 1.0)
    hits, support, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there = support > 0
    recall = np.divide(hits, support, out=np.full(count, np.nan), where=there)
    f1 = 2 * hits[there] / (support + said)[there]
    chances = probabilities[np.arange(len(truth)), truth]
    return {
        "accuracy": float(hits.sum() / support.sum()),
        "balanced_accuracy": float(recall[there].mean()),
        "macro_f1": float(f1.mean()),
        "log_loss": float(-np.log(chances).mean()),
        **{RECALL + name: float(recall[place]) for place, name in enumerate(classes)},
    }
