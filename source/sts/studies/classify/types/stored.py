"""PREDICT of new cells by a tree of types: one that was trained here, or the released one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import logit

from sts.base.model_files import CARD
from sts.base.runs import Run
from sts.base.types import CLASSES, Bools, Floats
from sts.base.workspace import Workspace
from sts.datasets.cell_types import CLASS_DEPTH, LEVELS
from sts.datasets.ep_tables import EpTable
from sts.datasets.feature_sets import raw_features, value_in_words, with_features
from sts.evaluation.prediction_sets import safe_answers
from sts.evaluation.transfer import FEWEST_FOR_SHARES
from sts.evaluation.type_scores import with_estimated_shares
from sts.evaluation.type_tree import ROOT
from sts.reports.new_cells import REASONS, Answers, PredictedCell, PredictResult, Reason
from sts.reports.type_answers import LevelTypes, TypeAnswer, TypeChance
from sts.studies.classify.stored import (
    CellSource,
    find_new_features,
    make_copy_job,
    predict_cells,
)
from sts.tabular.released import load_released
from sts.tabular.type_checkpoint import TypeModel, load_types, types_folder

_STUDY: Final = "baseline-predict"
# Number of prototypes that are named.
NEAREST: Final = 3
# A probability of 0 or 1 has no log odds.
_SMALLEST: Final = 1e-9

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class TypesPredictJob:
    """A tree of types, and the new cells for prediction."""

    source: CellSource
    name: str | None = None
    """Of the tree, where it has one of its own."""
    coverage: float | None = None
    """How often a set is to hold the true type; None: as the tree was trained for."""
    estimate_frequencies: bool = False
    """Take the cells for those of one laboratory, and estimate its class frequencies."""


def find_tree(workspace: Workspace, name: str | None) -> Path | None:
    """Return the folder of the tree that was trained here; None if there is none of no name."""
    folder = types_folder(workspace.models, name)
    return folder if name is not None or (folder / CARD).exists() else None


def predict_by_types(
    workspace: Workspace, job: TypesPredictJob, *, workers: int = 0, write_nwb: Path | None = None
) -> PredictResult:
    """Predict the types of every cell with reasons, and leave tables and a page.

    Parameters
    ----------
    write_nwb
        Folder for copies of the recordings with their results, None to write none.
    """
    folder = find_tree(workspace, job.name)
    model = load_released() if folder is None else load_types(folder)
    if folder is None:
        logger.warning("no model was trained here: the released tree of types answers")
    needed = raw_features(model.card.names)
    cells, table = find_new_features(job.source, needed=needed, workers=workers)
    answering = None
    if table is not None:
        features = with_features(table, model.card.names)
        coverage = model.card.coverage if job.coverage is None else job.coverage
        if job.estimate_frequencies and len(features) < FEWEST_FOR_SHARES:
            logger.warning(
                "--estimate-frequencies needs %d cells with features, and %d have them: "
                "nothing is changed",
                *(FEWEST_FOR_SHARES, len(features)),
            )
        answering = TypedAnswers(
            model=model,
            cells=features,
            coverage=coverage,
            estimate_frequencies=job.estimate_frequencies,
        )
    return predict_cells(
        workspace,
        job,
        study=_STUDY,
        name=f"{model.card.name}-{'released' if folder is None else folder.name}",
        sha256=model.card.sha256,
        cells=cells,
        model=answering,
        copies=make_copy_job(job.source, write_nwb, workers=workers),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class TypedAnswers:
    """A tree of types and the cells for prediction."""

    model: TypeModel
    cells: EpTable
    """With the features of the model."""
    coverage: float
    estimate_frequencies: bool = False

    def answer(self) -> Answers:
        """Return the answers of PREDICT for all cells."""
        model, X = self.model, self.cells.X
        nodes = model.node_probabilities(X)
        # A set holds the truth of each class, so that frequencies do not change it.
        sets = model.find_sets(X, nodes, self.coverage)
        classes = _class_nodes(model)
        if self.estimate_frequencies:
            nodes = with_estimated_shares(model.tree, nodes, model.class_shares, depth=CLASS_DEPTH)
            shares = zip(CLASSES, nodes[:, classes].mean(axis=0).tolist(), strict=True)
            words = ", ".join(f"{name} {share:.0%}" for name, share in shares)
            logger.info("estimated class frequencies of these cells: %s", words)
        probabilities = nodes[:, classes]
        unlike = model.measure_unlike(X)
        return Answers(
            probabilities=probabilities,
            distances=unlike.scores,
            threshold=unlike.limits,
            percentile=model.card.percentile,
            because=[
                find_reasons(model, row, classes[best], CLASSES[best])
                for row, best in zip(X, probabilities.argmax(axis=1).tolist(), strict=True)
            ],
            types=answer_types(
                model, X, nodes, sets, unlike.scores > unlike.limits, coverage=self.coverage
            ),
        )

    def draw(self, run: Run, cells: Sequence[PredictedCell]) -> dict[str, list[Path]]:
        """Draw nothing."""
        return {}


def _class_nodes(model: TypeModel) -> list[int]:
    """Return the node of each of the four classes."""
    nodes = model.tree.level(CLASS_DEPTH).tolist()
    names = {model.tree.paths[node][-1]: node for node in nodes}
    return [names[name] for name in CLASSES]


def answer_types(
    model: TypeModel,
    X: Floats,
    nodes: Floats,
    sets: Sequence[Bools],
    unlike: Bools,
    *,
    coverage: float,
) -> list[TypeAnswer]:
    """Return the answer for each cell on all levels.

    Parameters
    ----------
    nodes
        (cells, nodes), their probabilities.
    sets
        (cells, nodes of the level), of every level.
    unlike
        (cells,), which cells are unlike the training cells: for them no answer is safe.
    """
    tree = model.tree
    answers = np.where(unlike, ROOT, safe_answers(tree, sets))
    scores = model.prototypes.scores(X)
    nearest = np.argsort(scores, axis=1, kind="stable")[:, :NEAREST]
    return [
        TypeAnswer(
            answer=tree.labels[answer],
            level=LEVELS[tree.depths[answer] - 1] if answer else "",
            coverage=coverage,
            levels=tuple(_list_level(model, row, nodes[row], each) for each in enumerate(sets)),
            nearest=tuple(
                (tree.labels[model.prototypes.nodes[at]], float(scores[row, at]))
                for at in nearest[row]
            ),
        )
        for row, answer in enumerate(answers.tolist())
    ]


def _list_level(model: TypeModel, row: int, nodes: Floats, level: tuple[int, Bools]) -> LevelTypes:
    at, chosen = level
    members = model.tree.level(at + 1)
    order = np.argsort(-nodes[members], kind="stable")
    return LevelTypes(
        level=LEVELS[at],
        types=tuple(
            TypeChance(
                label=model.tree.labels[members[place]],
                probability=float(nodes[members[place]]),
                in_set=bool(chosen[row, place]),
            )
            for place in order
        ),
    )


def find_reasons(model: TypeModel, row: Floats, node: int, label: str) -> tuple[Reason, ...]:
    """Return the features that support the class of a cell, the strongest first.

    A feature supports the class by what the log odds of the class lose if it is hidden. The tree
    was trained with hidden features, so that it knows what a cell without it may be.

    Parameters
    ----------
    row
        (features,), of the cell.
    node
        The node of the class.
    """
    known = np.flatnonzero(np.isfinite(row))
    hidden = np.tile(row, (len(known) + 1, 1))
    hidden[np.arange(len(known)), known] = np.nan
    found = model.node_probabilities(hidden, deepest=CLASS_DEPTH)[:, node]
    odds = logit(np.clip(found, _SMALLEST, 1 - _SMALLEST))
    losses = odds[-1] - odds[:-1]
    speaking = (
        _reason(model, int(known[at]), float(row[known[at]]), float(losses[at]), label)
        for at in np.argsort(-losses, kind="stable")
        if losses[at] > 0
    )
    return tuple(islice(speaking, REASONS))


def _reason(model: TypeModel, at: int, value: float, loss: float, label: str) -> Reason:
    name = model.card.names[at]
    lower, higher = model.ranks.shares(at, value)
    return Reason(
        feature=name,
        words=value_in_words(name, value),
        value=value,
        lower=lower,
        higher=higher,
        missing=float(model.ranks.missing[at]),
        contribution=loss,
        label=label,
    )
