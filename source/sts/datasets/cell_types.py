"""Labels of cells on the tree of types: excitatory or inhibitory, class, subclass, T-type."""

from collections import Counter
from typing import Final

import numpy as np

from sts.base.types import CLASSES, Texts
from sts.datasets.allen import mapping
from sts.evaluation.type_tree import join_path, split_label

LEVELS: Final = ("excitatory or inhibitory", "class", "subclass", "T-type")
"""Names of the depths of the tree, starting with the first below the root."""
# Depth of the classes, which are kept even if they are rare.
CLASS_DEPTH: Final = 2
EXCITATORY, INHIBITORY = "Excitatory", "Inhibitory"
# A type with fewer cells can be neither learned nor scored.
_FEWEST: Final = 6


def type_label(label: str, subclass: str = "", fine: str = "") -> str:
    """Return the label of a cell on the tree, "" for a cell without a class.

    A subclass of interneurons that belongs to a class other than `label` is not used: one of both
    is wrong.

    Parameters
    ----------
    label
        One of the four classes, or "".
    subclass
        Such as Sst, Lamp5 or "L5 ET"; "" if it is not known.
    fine
        The T-type, or the MET type of an excitatory cell; used only if the subclass is known.
    """
    if not label:
        return ""
    if label not in CLASSES:
        raise ValueError(f"{label!r} is not one of the classes {', '.join(CLASSES)}")
    side = EXCITATORY if label == EXCITATORY else INHIBITORY
    known = mapping()["T-type"].get(subclass)
    if not subclass or (label != EXCITATORY and known is not None and known.label != label):
        return join_path((side, label))
    return join_path((side, label, subclass, *([fine] if fine else [])))


def merge_rare_types(labels: Texts, *, fewest: int = _FEWEST) -> Texts:
    """Return labels with rare T-types replaced by their subclass, rare subclasses by their class.

    The cells of a subclass include those of its T-types.
    """
    paths = [split_label(label) for label in labels.tolist()]
    for depth in range(len(LEVELS), CLASS_DEPTH, -1):
        counts = Counter(path[:depth] for path in paths)
        paths = [path[: depth - 1] if 0 < counts[path[:depth]] < fewest else path for path in paths]
    return np.array([join_path(path) for path in paths], dtype=np.str_)
