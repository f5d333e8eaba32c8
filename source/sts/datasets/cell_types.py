"""Labels of cells on the tree of types: excitatory or inhibitory, class, subclass, T-type."""

from collections import Counter
from typing import Final

import numpy as np

from sts.base.types import CLASSES
from sts.datasets.allen import mapping
from sts.datasets.store import Texts
from sts.evaluation.type_tree import join_path, split_label

LEVELS: Final = ("excitatory or inhibitory", "class", "subclass", "T-type")
"""What the depths of the tree are called, from the first below the root on."""
# Classes stay, however rare they are.
CLASS_DEPTH: Final = 2
EXCITATORY, INHIBITORY = "Excitatory", "Inhibitory"
# A type of fewer cells can be neither learnt nor judged.
FEWEST: Final = 6


def type_label(label: str, subclass: str = "", fine: str = "") -> str:
    """Return the label of a cell on the tree, "" for a cell of no class.

    A subclass of interneurons that belongs to another class than the label says is not used: one of
    both is wrong.

    Parameters
    ----------
    label
        One of the four classes, or "".
    subclass
        Such as Sst, Lamp5 or "L5 ET"; "" where it is not known.
    fine
        The T-type, or of an excitatory cell the MET type; it is used where the subclass is known.
    """
    if not label:
        return ""
    if label not in CLASSES:
        raise ValueError(f"{label!r} is none of the classes {', '.join(CLASSES)}")
    side = EXCITATORY if label == EXCITATORY else INHIBITORY
    known = mapping()["T-type"].get(subclass)
    if not subclass or (label != EXCITATORY and known is not None and known.label != label):
        return join_path((side, label))
    return join_path((side, label, subclass, *([fine] if fine else [])))


def merge_rare_types(labels: Texts, *, fewest: int = FEWEST) -> Texts:
    """Return labels in which a T-type of too few cells is its subclass, such a subclass its class.

    A subclass has the cells of its T-types too.
    """
    paths = [split_label(label) for label in labels.tolist()]
    for depth in range(len(LEVELS), CLASS_DEPTH, -1):
        counts = Counter(path[:depth] for path in paths)
        paths = [path[: depth - 1] if 0 < counts[path[:depth]] < fewest else path for path in paths]
    return np.array([join_path(path) for path in paths], dtype=np.str_)
