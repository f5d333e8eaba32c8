"""The cells of --types with their labels on the tree, and the classifier that is fitted on them."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.archives.sources import SOURCES
from sts.base.errors import StsError, one_of
from sts.base.types import CLASSES, Bools, Ints, Texts
from sts.datasets.cell_types import merge_rare_types, type_label
from sts.datasets.feature_sets import feature_names, with_features
from sts.datasets.laboratories import (
    LABORATORIES,
    LabelledTable,
    find_laboratories,
    read_laboratories,
)
from sts.datasets.stimuli import protocol_masks, without_indicators
from sts.evaluation.calibration import SET_COVERAGE
from sts.evaluation.type_tree import TypeTree
from sts.tabular.type_classifier import TypeTreeClassifier
from sts.tabular.type_members import make_fine_members, make_members

# The data sets of one cortical area whose features have one definition, and of each the column of
# its finest types: T-types of interneurons, MET types of excitatory cells.
FINEST: Final[Mapping[str, str]] = {
    "PatchClamp": "",
    "PatchSeq": "t_type",
    "ExcitatoryV1": "met_type",
}

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class TypesJob:
    """All settings; the results depend only on them and on the cells."""

    datasets: tuple[str, ...] = ()
    """The data sets to train on; (): those of FINEST that are there."""
    folds: int = 5
    coverage: float = SET_COVERAGE
    copies: int = 1
    """Number of copies of each cell with hidden features."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class TypedCells:
    """Cells with features and their labels on the tree."""

    table: LabelledTable
    labels: Texts
    tree: TypeTree

    @property
    def truth(self) -> Ints:
        """Return the node of each cell."""
        return self.tree.find_nodes(self.labels.tolist())

    @property
    def sources(self) -> Ints:
        """Return the number of the data set of each cell, in alphabetical order."""
        return np.unique(self.table.dataset, return_inverse=True)[1]


def read_typed_cells(
    data: Path, names: Sequence[str] = (), *, for_release: bool = False
) -> TypedCells:
    """Return the cells of data sets in `data` on the tree, without published test specimens.

    Parameters
    ----------
    names
        The data sets; (): those of FINEST that are there.
    for_release
        Take the data sets alone whose terms are known.
    """
    unlicensed = [name for name in names if for_release and sources_without_licence(name)]
    if unlicensed:
        raise StsError(f"no licence is known of {unlicensed[0]}: it trains no model to give away")
    if not names:
        names = [name for name in find_laboratories(data) if name in FINEST]
    if for_release:
        names = [name for name in names if not sources_without_licence(name)]
    if not names:
        raise StsError(
            f"none of the data sets {', '.join(FINEST)} is in {data}: fetch them with "
            "`data_pipeline.py fetch sts-tables patchseq-metadata excitatory`"
        )
    table = read_laboratories(names, data)
    if lacking := [label for label in CLASSES if label not in table.label]:
        raise StsError(
            f"no cell of {', '.join(names)} is {lacking[0]}: a tree needs cells of all four classes"
        )
    finest = [
        str(getattr(table, column)[row]) if (column := FINEST.get(name)) else ""
        for row, name in enumerate(table.dataset.tolist())
    ]
    known = zip(table.label.tolist(), table.subclass.tolist(), finest, strict=True)
    labels = merge_rare_types(np.array([type_label(*each) for each in known], dtype=np.str_))
    kept = np.flatnonzero(labels != "")
    table = table.rows(kept)
    chosen = with_features(table, without_indicators(feature_names("engineered")))
    tree = TypeTree.from_labels(labels[kept].tolist())
    logger.info("%d cells of %s, %d types", len(kept), ", ".join(names), len(tree.leaves))
    typed = replace(table, X=chosen.X, names=chosen.names)
    return TypedCells(table=typed, labels=labels[kept], tree=tree)


def sources_without_licence(name: str) -> tuple[str, ...]:
    """Return the sources of a data set whose terms of use nobody states."""
    laboratory = LABORATORIES[one_of(name, LABORATORIES, "data set")]
    return tuple(each for each in laboratory.sources if not SOURCES[each].has_licence)


def stimulus_masks(table: LabelledTable) -> Bools:
    """Return what is missing with all stimuli (nothing), and in each protocol."""
    return np.concatenate([np.zeros((1, len(table.names)), bool), protocol_masks(table.names)])


def make_classifier(table: LabelledTable, job: TypesJob) -> TypeTreeClassifier:
    """Return the classifier of a job, not fitted yet.

    It learns every data set on its own scale: a new cell is of none of them, and stays on its own.
    """
    return TypeTreeClassifier(
        estimator=make_members(job.seed),
        fine_estimator=make_fine_members(job.seed),
        masks=protocol_masks(table.names),
        copies=job.copies,
        random_state=job.seed,
    )


def describe_cells(cells: TypedCells) -> dict[str, Any]:
    """Return the numbers of cells by data set, class and type, and a digest of them."""
    table = cells.table
    texts = [*table.names, *table.specimen_id, *cells.labels, *table.dataset]
    digest = hashlib.sha256("\n".join(texts).encode())
    digest.update(np.ascontiguousarray(table.X).data)
    return {
        "cells": len(table),
        "datasets": _count(table.dataset),
        "classes": _count(table.label),
        "types": _count(cells.labels),
        "training_fingerprint": digest.hexdigest()[:16],
    }


def _count(names: Texts) -> dict[str, int]:
    found, counts = np.unique(names, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
