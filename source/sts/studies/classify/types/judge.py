"""--types: scores of the tree of types, on cells of donors outside training."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.cell_types import LEVELS, merge_rare_types, type_label
from sts.datasets.feature_sets import feature_names, with_features
from sts.datasets.laboratories import LabelledTable, find_laboratories, read_laboratories
from sts.datasets.splits import folds_of
from sts.datasets.stimuli import protocol_masks, without_indicators
from sts.datasets.store import Texts
from sts.evaluation.prediction_sets import COVERAGE
from sts.evaluation.type_scores import LevelAnswers, answer_level
from sts.evaluation.type_tree import TypeTree
from sts.studies.classify.types.pages import write_types_report
from sts.studies.classify.types.unlike import measure_unlike
from sts.tabular.type_classifier import TypeTreeClassifier
from sts.tabular.type_members import make_fine_members, make_members

STUDY: Final = "baseline-types"
# Data sets of one cortical area whose features have one definition, and the column of the finest
# types of each: T-types of interneurons, MET types of excitatory cells.
FINEST: Final[Mapping[str, str]] = {
    "PatchClamp": "",
    "PatchSeq": "t_type",
    "ExcitatoryV1": "met_type",
}
REFERENCE: Final = "PatchSeq"

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class TypesJob:
    """All settings; the results depend only on them and on the cells."""

    folds: int = 5
    coverage: float = COVERAGE
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


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedTypes:
    """The predictions of every cell by a classifier fitted without it, by level."""

    folder: Path
    cells: TypedCells
    levels: dict[str, LevelAnswers]


def judge_types(workspace: Workspace, job: TypesJob, *, data: Path) -> JudgedTypes:
    """Cross-validate the tree of types on the training cells in `data`, and leave a report."""
    cells = read_typed_cells(data)
    with start_run(workspace, study=STUDY, what="TypeTree", settings=job) as run:
        folds = folds_of(cells.table, job.folds, seed=job.seed)
        probabilities = predict_out_of_fold(cells, folds, job)
        levels = {
            name: answer_level(
                probabilities,
                cells.truth,
                [scored for _, scored in folds],
                cells.tree,
                depth=depth,
                coverage=job.coverage,
            )
            for depth, name in enumerate(LEVELS, start=1)
            if depth <= cells.tree.depths.max()
        }
        detections = measure_unlike(cells.table, folds[0], seed=job.seed)
        write_types_report(run, cells.table, cells.tree, levels, detections, job.coverage)
    return JudgedTypes(folder=run.final, cells=cells, levels=levels)


def read_typed_cells(data: Path) -> TypedCells:
    """Return the cells of the data sets of FINEST in `data`, without published test specimens."""
    names = [name for name in find_laboratories(data) if name in FINEST]
    if not names:
        raise StsError(
            f"none of the data sets {', '.join(FINEST)} is in {data}: fetch them with "
            "`data_pipeline.py fetch sts-tables patchseq-metadata excitatory`"
        )
    table = read_laboratories(names, data)
    finest = [
        str(getattr(table, column)[row]) if (column := FINEST[name]) else ""
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


def predict_out_of_fold(cells: TypedCells, folds: list[tuple[Ints, Ints]], job: TypesJob) -> Floats:
    """Return the probability of every node, (cells, nodes), by a classifier of the other folds."""
    table = cells.table
    probabilities = np.zeros((len(table), len(cells.tree)))
    reference = REFERENCE if REFERENCE in table.dataset else None
    for number, (fitted, scored) in enumerate(folds, start=1):
        logger.info("fold %d of %d: %d cells to fit on", number, len(folds), len(fitted))
        classifier = TypeTreeClassifier(
            estimator=make_members(job.seed),
            fine_estimator=make_fine_members(job.seed),
            masks=protocol_masks(table.names),
            copies=job.copies,
            align=True,
            reference=reference,
            random_state=job.seed,
        )
        classifier.fit(table.X[fitted], cells.labels[fitted], dataset=table.dataset[fitted])
        # A type without a fitted cell is not in the tree of the fold.
        columns = cells.tree.find_nodes(classifier.tree_.labels)
        probabilities[np.ix_(scored, columns)] = classifier.node_probabilities(
            table.X[scored], table.dataset[scored]
        )
    return probabilities
