"""--types: scores of the tree of types on donors outside training, and the tree itself."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.parallel import map_unordered, worker_count
from sts.base.runs import start_run
from sts.base.types import Bools, Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.cell_types import CLASS_DEPTH, LEVELS
from sts.datasets.splits import folds_of
from sts.datasets.stimuli import PROTOCOLS
from sts.evaluation.neighbours import UNLIKE_PERCENTILE
from sts.evaluation.prediction_sets import calibrate_sets
from sts.evaluation.type_scores import LevelAnswers, answer_level, score_answers, with_batch_shares
from sts.studies.classify.types.cells import (
    TypedCells,
    TypesJob,
    describe_cells,
    make_classifier,
    read_typed_cells,
    stimulus_masks,
)
from sts.studies.classify.types.pages import write_types_report
from sts.studies.classify.types.release import Release, write_release
from sts.studies.classify.types.unlike import measure_left_out_sets, measure_unlike
from sts.tabular.prototypes import UnlikeRule, find_limits, fit_prototypes, score_hidden
from sts.tabular.type_checkpoint import (
    TypeCard,
    TypeModel,
    find_ranks,
    save_types,
    store_nodes,
    types_folder,
)

_STUDY: Final = "baseline-types"
_Folds = Sequence[tuple[Ints, Ints]]

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedTypes:
    """The predictions of every cell by a classifier fitted without it, by level, and the tree."""

    folder: Path
    cells: TypedCells
    levels: dict[str, LevelAnswers]
    model: TypeModel
    place: Path
    """Where the tree is stored."""


def judge_types(
    workspace: Workspace,
    job: TypesJob,
    *,
    data: Path,
    name: str | None = None,
    release: Path | None = None,
    workers: int = 1,
) -> JudgedTypes:
    """Cross-validate the tree of types on the training cells in `data`, then fit and store it.

    Parameters
    ----------
    name
        Name of the model, where it gets one of its own.
    release
        Folder for a tree that is given away, with a card in words; it is stored there alone.
    """
    cells = read_typed_cells(data, job.datasets, for_release=release is not None)
    with start_run(workspace, study=_STUDY, what="TypeTree", settings=job) as run:
        folds = folds_of(cells.table, job.folds, seed=job.seed)
        probabilities = predict_out_of_fold(cells, folds, job, workers=workers)
        levels, *lacking = (_judge_levels(cells, folds, each, job) for each in probabilities)
        detections = measure_unlike(cells, folds[0], seed=job.seed)
        halves = folds_of(cells.table, 2, seed=job.seed)
        left_out = measure_left_out_sets(cells, halves[0], job)
        write_types_report(run, cells, levels, detections, left_out, job.coverage)
        scores = {level: asdict(score_answers(each)) for level, each in levels.items()}
        model = _fit_types(cells, job, folds, probabilities, scores)
        place = release or types_folder(workspace.models, name)
        if release is None:
            model = save_types(place, model)
        else:
            protocols = dict(zip(PROTOCOLS, lacking, strict=True))
            written = Release(
                cells=cells,
                levels=levels,
                lacking=protocols,
                detections=detections,
                left_out=left_out,
                data=data,
            )
            model = write_release(release, model, written)
    return JudgedTypes(folder=run.final, cells=cells, levels=levels, model=model, place=place)


def _judge_levels(
    cells: TypedCells, folds: _Folds, probabilities: Floats, job: TypesJob
) -> dict[str, LevelAnswers]:
    scored = [rows for _, rows in folds]
    in_batch = with_batch_shares(
        probabilities, cells.truth, scored, cells.tree, depth=CLASS_DEPTH, sources=cells.sources
    )
    return {
        name: answer_level(
            probabilities,
            cells.truth,
            scored,
            cells.tree,
            depth=depth,
            coverage=job.coverage,
            sources=cells.sources,
            in_batch=in_batch,
        )
        for depth, name in enumerate(LEVELS, start=1)
        if depth <= cells.tree.depths.max()
    }


def predict_out_of_fold(
    cells: TypedCells, folds: _Folds, job: TypesJob, *, workers: int = 1
) -> Floats:
    """Return the probabilities of nodes by a classifier of the other folds.

    They are (masks, cells, nodes), for each of `stimulus_masks`.
    """
    masks = len(stimulus_masks(cells.table))
    found = np.zeros((masks, len(cells.table), len(cells.tree)))
    count = min(worker_count(workers), len(folds))
    for at, (columns, said) in map_unordered(
        partial(_predict_fold, cells, job), folds, workers=count
    ):
        logger.info("fold %d of %d is predicted", at + 1, len(folds))
        found[np.ix_(np.arange(masks), folds[at][1], columns)] = said
    return found


def _predict_fold(cells: TypedCells, job: TypesJob, fold: tuple[Ints, Ints]) -> tuple[Ints, Floats]:
    """Return nodes and their probabilities for the cells of a fold, (masks, cells, nodes)."""
    table, (fitted, scored) = cells.table, fold
    classifier = make_classifier(table, job)
    classifier.fit(table.X[fitted], cells.labels[fitted], dataset=table.dataset[fitted])
    said = [
        classifier.node_probabilities(np.where(mask, np.nan, table.X[scored]))
        for mask in stimulus_masks(table)
    ]
    # A type without a fitted cell is not in the tree of the fold.
    return cells.tree.find_nodes(classifier.tree_.labels), np.array(said)


def _fit_types(
    cells: TypedCells,
    job: TypesJob,
    folds: _Folds,
    probabilities: Floats,
    scores: Mapping[str, Any],
) -> TypeModel:
    """Return the tree of types fitted on all cells.

    Sets and limits are calibrated on the cells of each fold by the classifiers of the other folds,
    not by the final one, which saw them. That is nearly exact (cross-conformal prediction, Vovk,
    2015), and a rare type has all of its cells to be fitted and to be calibrated on.

    Parameters
    ----------
    probabilities
        (masks, cells, nodes), of each cell by a classifier fitted without it, for each of
        `stimulus_masks`: a cell without a stimulus is compared with cells without it.
    scores
        What the cross-validation found, for the card.
    """
    logger.info("the final tree: %d cells to fit on", len(cells.table))
    table = cells.table
    classifier = make_classifier(table, job)
    classifier.fit(table.X, cells.labels, dataset=table.dataset)
    levels = range(1, int(cells.tree.depths.max()) + 1)
    masks = stimulus_masks(table)
    card = TypeCard(
        names=table.names,
        types=cells.tree.labels,
        depths=tuple(levels),
        coverage=job.coverage,
        percentile=UNLIKE_PERCENTILE,
        seed=job.seed,
        settings={"folds": job.folds, "copies": job.copies},
        scores=dict(scores),
        data=describe_cells(cells),
    )
    return TypeModel(
        card=card,
        nodes=store_nodes(classifier),
        sets=tuple(
            tuple(
                calibrate_sets(
                    each,
                    cells.truth,
                    cells.tree,
                    depth=depth,
                    group_depth=card.group_depth,
                    sources=cells.sources,
                )
                for depth in levels
            )
            for each in probabilities
        ),
        prototypes=fit_prototypes(table.X, cells.truth, cells.tree),
        unlike=_find_limits(cells, folds, masks),
        ranks=find_ranks(table.X),
    )


def _find_limits(cells: TypedCells, folds: _Folds, masks: Bools) -> UnlikeRule:
    """Return the limits from cells whose fold was not fitted."""
    X = cells.table.X
    found = np.zeros((len(masks), len(X)))
    for fitted, scored in folds:
        prototypes = fit_prototypes(X[fitted], cells.truth[fitted], cells.tree)
        found[:, scored] = score_hidden(prototypes, X[scored], masks)
    return find_limits(masks, found, UNLIKE_PERCENTILE)
