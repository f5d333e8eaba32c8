"""--with-networks: the benefit of a network beside the table, by stacking (Wolpert, 1992)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import CLASSES, Floats
from sts.base.workspace import Workspace
from sts.evaluation.calibration import apply_temperature, calibrate
from sts.evaluation.compare import Comparison, compare
from sts.evaluation.predictions import UNKNOWN, Predictions
from sts.evaluation.scores import POOLED, Scores, by_dataset
from sts.reports.page import Block, Section, write_page
from sts.reports.predictions import PREDICTIONS, read_predictions, write_predictions
from sts.reports.tables import difference_table, headline, notes_on_scores, score_table
from sts.studies.classify.training import OUT_OF_FOLD

_STUDY: Final = "fusion"
# Number of folds for the stack; each cell is predicted by a stack fitted without it.
STACK_FOLDS: Final = 5
# Strengths of the regression; the one with the lowest log loss is used.
STRENGTHS: Final = (0.003, 0.03, 0.3, 3.0)
# Smallest probability before the logarithm: one wrong cell must not dominate all others.
FUSION_FLOOR: Final = 1e-4
# Names of the three classifiers that are compared.
TABLE, NETWORK, STACK = "table", "network", "both"
METHOD: Final = (
    "Logistic regression on the log probabilities of both, fitted on training cells that each had "
    "left out, calibrated with one temperature ({temperature:.2f}). The held-out cells are those "
    "that neither was trained on and both have predicted."
)


@dataclass(frozen=True, kw_only=True)
class FusionJob:
    """The trainings that are combined, by the folders of their runs."""

    table: str
    network: str
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class RunPredictions:
    """The predictions of a training: of its training cells out of fold, and of its holdout."""

    train: Predictions
    test: Predictions


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedStack:
    """Logistic regression on the probabilities of both, with its temperature."""

    top: Any
    strength: float
    temperature: float
    out_of_fold: Floats
    """Calibrated probabilities of the cells it was fitted on, each by a stack that left it out."""

    def probabilities(self, inputs: Floats) -> Floats:
        """Return the probabilities of cells with these inputs."""
        return apply_temperature(self.top.decision_function(inputs), self.temperature)


@dataclass(frozen=True, kw_only=True, eq=False)
class FusionScores:
    """The scores of table, network and stack on the same cells."""

    stacked: Predictions
    scores: dict[str, dict[str, Scores]]
    """By classifier and by data set."""
    gains: dict[str, Comparison]
    """Of the stack over the table and over the network."""

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return {
            "scores": {
                name: {group: each.to_dict() for group, each in groups.items()}
                for name, groups in self.scores.items()
            },
            "gains": {name: gain.to_dict() for name, gain in self.gains.items()},
        }

    def blocks(self) -> list[Block]:
        """Return the content of the report."""
        return [
            score_table({name: score[POOLED] for name, score in self.scores.items()}),
            *(
                difference_table(gain, first=name, second=STACK)
                for name, gain in self.gains.items()
            ),
            *notes_on_scores(self.scores[STACK]),
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fused:
    """The scores of the stack on held-out cells that both have predicted."""

    folder: Path
    scores: dict[str, dict[str, Scores]]
    """By classifier and by data set."""
    gains: dict[str, Comparison]
    """Of the stack over the table and over the network."""


def read_run_predictions(run: Path) -> RunPredictions:
    """Return the predictions of a training from its run folder."""
    for name in (OUT_OF_FOLD, PREDICTIONS):
        if not (run / name).is_file():
            raise StsError(
                f"no {name} in {run}: name the run folder of a TRAIN of sts_pipeline.py; train a "
                "network of an older release again"
            )
    train, test = (read_predictions(run / name) for name in (OUT_OF_FOLD, PREDICTIONS))
    return RunPredictions(train=train, test=test)


def fuse(
    workspace: Workspace, job: FusionJob, *, table: RunPredictions, network: RunPredictions
) -> Fused:
    """Combine table and network by a stack fitted out of fold; score it on held-out cells."""
    refuse_leaks(table, network)
    train = find_common_cells(table.train, network.train, "out of fold")
    test = find_common_cells(table.test, network.test, "held out")
    stack = fit_stack(*train, seed=job.seed)
    held_out = _score(test, stack.probabilities(stack_inputs(*test)), seed=job.seed)
    own = _score(train, stack.out_of_fold, seed=job.seed)
    name = f"{Path(job.table).parent.name}-and-{Path(job.network).parent.name}"
    with start_run(workspace, study=_STUDY, what=name, settings=job) as run:
        write_predictions(run.path / PREDICTIONS, held_out.stacked)
        write_predictions(run.path / OUT_OF_FOLD, own.stacked)
        top: list[Block] = [
            headline(held_out.scores[STACK][POOLED]),
            METHOD.format(temperature=stack.temperature),
        ]
        write_page(
            run.path / "report.html",
            "Table and network together",
            subtitle=name,
            sections=[
                Section("Held-out cells", [*top, *held_out.blocks()]),
                Section("Training cells, each left out once", own.blocks()),
            ],
        )
        weights = {"strength": stack.strength, "temperature": stack.temperature}
        run.report(
            {
                "holdout": held_out.to_dict(),
                "cross_validation": own.to_dict(),
                "stack": {**weights, "weights": stack.top.coef_.tolist()},
            }
        )
    return Fused(folder=run.final, scores=held_out.scores, gains=held_out.gains)


def _score(
    cells: tuple[Predictions, Predictions], probabilities: Floats, *, seed: int
) -> FusionScores:
    """Return the scores of table, network and stack, and the gains of the stack."""
    rng = np.random.default_rng(seed)
    stacked = replace(cells[0], probabilities=probabilities)
    each = {TABLE: cells[0], NETWORK: cells[1], STACK: stacked}
    return FusionScores(
        stacked=stacked,
        scores={name: by_dataset(predictions, rng=rng) for name, predictions in each.items()},
        gains={name: compare(each[name], stacked, rng=rng) for name in (TABLE, NETWORK)},
    )


def refuse_leaks(table: RunPredictions, network: RunPredictions) -> None:
    """Raise an error if one model was trained on cells that the other one holds out."""
    for fitted, held, who in ((network, table, "network"), (table, network, "table")):
        known = np.intersect1d(fitted.train.specimen_id, held.test.specimen_id)
        if len(known):
            raise StsError(
                f"the {who} was trained on {len(known)} cells that the other holds out, such as "
                f"{known[0]}: train both on the same split"
            )


def find_common_cells(
    first: Predictions, second: Predictions, where: str
) -> tuple[Predictions, Predictions]:
    """Return the predictions of cells with known class in both, in the same order."""
    if first.classes != CLASSES or second.classes != CLASSES:
        raise StsError(
            f"table and network must have the classes {', '.join(CLASSES)}, in this order"
        )
    ids, here, there = np.intersect1d(first.specimen_id, second.specimen_id, return_indices=True)
    one, other = first.rows(here), second.rows(there)
    differs = (one.truth != other.truth) & one.labelled & other.labelled
    if differs.any():
        raise StsError(
            f"table and network disagree on the class of {int(differs.sum())} cells, such as "
            f"{ids[int(np.argmax(differs))]}: train both on the same labels"
        )
    known = (one.truth != UNKNOWN) & (other.truth != UNKNOWN)
    counts = np.bincount(one.truth[known], minlength=len(CLASSES))
    if where == "out of fold" and (counts < STACK_FOLDS).any():
        short = int(np.argmin(counts))
        raise StsError(
            f"table and network have {counts[short]} cells of class {CLASSES[short]} in common "
            f"{where}: at least {STACK_FOLDS} are needed"
        )
    if not known.any():
        raise StsError(f"table and network have no cell of known class in common {where}")
    return one.rows(known), other.rows(known)


def stack_inputs(first: Predictions, second: Predictions) -> Floats:
    """Return the inputs of the stack: the log probabilities of both, (cells, 2 classes)."""
    both = np.column_stack([first.probabilities, second.probabilities])
    inputs: Floats = np.log(np.maximum(both, FUSION_FLOOR))
    return inputs


def fit_stack(first: Predictions, second: Predictions, *, seed: int) -> FittedStack:
    """Fit the stack on out-of-fold predictions of the same cells."""
    inputs, truth = stack_inputs(first, second), first.truth
    folds = list(StratifiedKFold(STACK_FOLDS, shuffle=True, random_state=seed).split(inputs, truth))
    left_out = {}
    for strength in STRENGTHS:
        logits = np.zeros((len(truth), len(CLASSES)))
        for fitted, scored in folds:
            top = _make_regression(strength).fit(inputs[fitted], truth[fitted])
            logits[scored] = top.decision_function(inputs[scored])
        left_out[strength] = logits, calibrate(logits, truth).temperature

    def log_loss(strength: float) -> float:
        probabilities = apply_temperature(*left_out[strength])
        return float(-np.log(probabilities[np.arange(len(truth)), truth] + FUSION_FLOOR).mean())

    best = min(STRENGTHS, key=log_loss)
    return FittedStack(
        top=_make_regression(best).fit(inputs, truth),
        strength=best,
        temperature=left_out[best][1],
        out_of_fold=apply_temperature(*left_out[best]),
    )


def _make_regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)
