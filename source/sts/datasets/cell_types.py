"""Labels of cells on the tree of types: excitatory or inhibitory, class, subclass, T-type."""

from typing import Final

import numpy as np

from sts.base.types import CLASSES
from sts.datasets.allen import mapping
from sts.datasets.store import Texts
from sts.evaluation.type_tree import join_path, split_label

LEVELS: Final = ("excitatory or inhibitory", "class", "subclass", "T-type")
"""What the depths of the tree are called, from the first below the root on."""
EXCITATORY, INHIBITORY = "Excitatory", "Inhibitory"
# A T-type of fewer cells can be neither learnt nor judged.
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
    """Return labels in which a T-type of too few cells is its subclass."""
    names, counts = np.unique(labels, return_counts=True)
    rare = {
        name
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        if count < fewest and len(split_label(name)) == len(LEVELS)
    }
    return np.array(
        [join_path(split_label(name)[:-1]) if name in rare else name for name in labels.tolist()],
        dtype=np.str_,
    )
