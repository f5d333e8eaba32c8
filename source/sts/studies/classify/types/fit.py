"""The final tree of types: fitted on all cells, with all that PREDICT needs."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sts.base.types import Bools, Floats, Ints
from sts.evaluation.prediction_sets import calibrate_sets
from sts.studies.classify.types.cells import TypedCells, TypesJob, make_classifier, stimulus_masks
from sts.studies.classify.types.unlike import PERCENTILE
from sts.tabular.prototypes import UnlikeRule, find_limits, fit_prototypes, score_hidden
from sts.tabular.type_checkpoint import (
    TypeCard,
    TypeModel,
    find_ranks,
    store_nodes,
)

logger = logging.getLogger("sts")
Folds = Sequence[tuple[Ints, Ints]]


def fit_types(
    cells: TypedCells, job: TypesJob, folds: Folds, probabilities: Floats, scores: Mapping[str, Any]
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
    X = classifier.shift_.transform(table.X, table.dataset)
    levels = range(1, int(cells.tree.depths.max()) + 1)
    masks = stimulus_masks(table)
    card = TypeCard(
        names=table.names,
        types=cells.tree.labels,
        depths=tuple(levels),
        coverage=job.coverage,
        percentile=PERCENTILE,
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
        prototypes=fit_prototypes(X, cells.truth, cells.tree),
        unlike=_find_limits(X, cells, folds, masks),
        ranks=find_ranks(X),
    )


def _find_limits(X: Floats, cells: TypedCells, folds: Folds, masks: Bools) -> UnlikeRule:
    """Return the limits from cells whose fold was not fitted."""
    found = np.zeros((len(masks), len(X)))
    for fitted, scored in folds:
        prototypes = fit_prototypes(X[fitted], cells.truth[fitted], cells.tree)
        found[:, scored] = score_hidden(prototypes, X[scored], masks)
    return find_limits(masks, found, PERCENTILE)


def describe_cells(cells: TypedCells) -> dict[str, Any]:
    """Return the numbers of training cells by data set and type, and a digest of them."""
    table = cells.table
    texts = [*table.names, *table.specimen_id, *cells.labels, *table.dataset]
    digest = hashlib.sha256("\n".join(texts).encode())
    digest.update(np.ascontiguousarray(table.X).data)
    sets, labels = (np.unique(each, return_counts=True) for each in (table.dataset, cells.labels))
    return {
        "cells": len(table),
        "datasets": {str(name): int(count) for name, count in zip(*sets, strict=True)},
        "types": {str(name): int(count) for name, count in zip(*labels, strict=True)},
        "training_fingerprint": digest.hexdigest()[:16],
    }
