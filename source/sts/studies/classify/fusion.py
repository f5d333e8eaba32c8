"""--with-networks: what a network adds to the table, by a stack of both (Wolpert, 1992)."""

from dataclasses import dataclass
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
from sts.reports.predictions import read_predictions, write_predictions
from sts.reports.tables import difference_table, headline, notes_on_scores, score_table
from sts.studies.classify.pages import PREDICTIONS
from sts.studies.classify.training import OUT_OF_FOLD

STUDY: Final = "fusion"
# Cells on which the stack itself is tried, each by a stack that was not fitted on it.
PARTS: Final = 5
# How freely both are weighed; what makes these cells most likely is taken.
STRENGTHS: Final = (0.003, 0.03, 0.3, 3.0)
# The smallest probability whose logarithm is taken: being wrong once must not outweigh all else.
FLOOR: Final = 1e-4
# What is compared: each alone, and the stack.
TABLE, NETWORK, STACK = "table", "network", "both"
SAID: Final = (
    "Logistic regression on the log probabilities of both, fitted on training cells that each had "
    "left out, calibrated with one temperature ({temperature:.2f}). The held-out cells are those "
    "that neither was trained on and both know."
)


@dataclass(frozen=True, kw_only=True)
class FusionJob:
    """Which trainings are joined, by the folders of their runs."""

    table: str
    network: str
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class RunPredictions:
    """What a training says of its own cells out of fold, and of those it held out."""

    train: Predictions
    test: Predictions


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedStack:
    """Logistic regression on what both say, with its temperature."""

    top: Any
    strength: float
    temperature: float
    out_of_fold: Floats
    """Calibrated probabilities of the cells it was fitted on, each by a stack that left it out."""

    def probabilities(self, words: Floats) -> Floats:
        """Return the probabilities of cells of which both say these words."""
        return apply_temperature(self.top.decision_function(words), self.temperature)


@dataclass(frozen=True, kw_only=True, eq=False)
class FusionScores:
    """Each alone and both together on the same cells."""

    probabilities: Floats
    """Of both together."""
    scores: dict[str, dict[str, Scores]]
    """By side and by data set."""
    gains: dict[str, Comparison]
    """Of both together over each alone."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds."""
        return {
            "scores": {
                side: {name: each.to_dict() for name, each in groups.items()}
                for side, groups in self.scores.items()
            },
            "gains": {side: each.to_dict() for side, each in self.gains.items()},
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Fused:
    """What the stack is worth on held-out cells that both know."""

    folder: Path
    scores: dict[str, dict[str, Scores]]
    """By side and by data set."""
    gains: dict[str, Comparison]
    """Of the stack over each alone."""


def read_run_predictions(run: Path) -> RunPredictions:
    """Return what a training has left of its own cells and of its holdout."""
    for name in (OUT_OF_FOLD, PREDICTIONS):
        if not (run / name).is_file():
            raise StsError(
                f"no {name} in {run}: name the run folder of a TRAIN of sts_pipeline.py; a network "
                "that an older release has trained is to be trained again"
            )
    train, test = (read_predictions(run / name) for name in (OUT_OF_FOLD, PREDICTIONS))
    return RunPredictions(train=train, test=test)


def fuse(
    workspace: Workspace, job: FusionJob, *, table: RunPredictions, network: RunPredictions
) -> Fused:
    """Join table and network by a stack fitted out of fold, and score it on cells held by both."""
    refuse_leaks(table, network)
    train = in_common(table.train, network.train, "out of fold")
    test = in_common(table.test, network.test, "held out")
    stack = fit_stack(*train, seed=job.seed)
    held_out = _compared(test, stack.probabilities(words_of(*test)), seed=job.seed)
    own = _compared(train, stack.out_of_fold, seed=job.seed)
    what = f"{Path(job.table).parent.name}-and-{Path(job.network).parent.name}"
    with start_run(workspace, study=STUDY, what=what, settings=job) as run:
        write_predictions(run.path / PREDICTIONS, _like(test[0], held_out.probabilities))
        write_predictions(run.path / OUT_OF_FOLD, _like(train[0], stack.out_of_fold))
        write_page(
            run.path / "report.html",
            "Table and network together",
            subtitle=what,
            sections=sections_of(held_out, own, temperature=stack.temperature),
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


def _compared(
    cells: tuple[Predictions, Predictions], probabilities: Floats, *, seed: int
) -> FusionScores:
    """Return the scores of each alone and of both together, and what is gained."""
    rng = np.random.default_rng(seed)
    said = {TABLE: cells[0], NETWORK: cells[1], STACK: _like(cells[0], probabilities)}
    return FusionScores(
        probabilities=probabilities,
        scores={name: by_dataset(each, rng=rng) for name, each in said.items()},
        gains={name: compare(said[name], said[STACK], rng=rng) for name in (TABLE, NETWORK)},
    )


def refuse_leaks(table: RunPredictions, network: RunPredictions) -> None:
    """Refuse a network that was trained on cells which the table holds out, and the reverse."""
    for fitted, held, who in ((network, table, "network"), (table, network, "table")):
        known = np.intersect1d(fitted.train.specimen_id, held.test.specimen_id)
        if len(known):
            raise StsError(
                f"the {who} was trained on {len(known)} cells that the other holds out, such as "
                f"{known[0]}: train both on the same split"
            )


def in_common(
    first: Predictions, second: Predictions, where: str
) -> tuple[Predictions, Predictions]:
    """Return what both say of the cells of known class that both know, in the same order."""
    if first.classes != CLASSES or second.classes != CLASSES:
        raise StsError(f"table and network must tell {', '.join(CLASSES)} apart, in this order")
    ids, here, there = np.intersect1d(first.specimen_id, second.specimen_id, return_indices=True)
    one, other = first.rows(here), second.rows(there)
    apart = (one.truth != other.truth) & one.labelled & other.labelled
    if apart.any():
        raise StsError(
            f"table and network disagree on the class of {int(apart.sum())} cells, such as "
            f"{ids[int(np.argmax(apart))]}: train both on the same labels"
        )
    known = (one.truth != UNKNOWN) & (other.truth != UNKNOWN)
    counts = np.bincount(one.truth[known], minlength=len(CLASSES))
    if where == "out of fold" and (counts < PARTS).any():
        short = int(np.argmin(counts))
        raise StsError(
            f"table and network have {counts[short]} cells of class {CLASSES[short]} in common "
            f"{where}: at least {PARTS} are needed"
        )
    if not known.any():
        raise StsError(f"table and network have no cell of known class in common {where}")
    return one.rows(known), other.rows(known)


def words_of(first: Predictions, second: Predictions) -> Floats:
    """Return what a stack is shown: the log probabilities of both, (cells, 2 classes)."""
    both = np.column_stack([first.probabilities, second.probabilities])
    words: Floats = np.log(np.maximum(both, FLOOR))
    return words


def fit_stack(first: Predictions, second: Predictions, *, seed: int) -> FittedStack:
    """Fit the stack on out-of-fold predictions of the same cells."""
    words, truth = words_of(first, second), first.truth
    parts = list(StratifiedKFold(PARTS, shuffle=True, random_state=seed).split(words, truth))
    left_out = {}
    for strength in STRENGTHS:
        logits = np.zeros((len(truth), len(CLASSES)))
        for fitted, said in parts:
            top = _regression(strength).fit(words[fitted], truth[fitted])
            logits[said] = top.decision_function(words[said])
        left_out[strength] = logits, calibrate(logits, truth).temperature

    def surprise(strength: float) -> float:
        probabilities = apply_temperature(*left_out[strength])
        return float(-np.log(probabilities[np.arange(len(truth)), truth] + FLOOR).mean())

    best = min(STRENGTHS, key=surprise)
    return FittedStack(
        top=_regression(best).fit(words, truth),
        strength=best,
        temperature=left_out[best][1],
        out_of_fold=apply_temperature(*left_out[best]),
    )


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)


def _like(cells: Predictions, probabilities: Floats) -> Predictions:
    return Predictions(
        specimen_id=cells.specimen_id,
        dataset=cells.dataset,
        truth=cells.truth,
        probabilities=probabilities,
        donor_id=cells.donor_id,
    )


def sections_of(held_out: FusionScores, own: FusionScores, *, temperature: float) -> list[Section]:
    """Return the report: held-out cells first, then those that the stack was fitted on.

    Parameters
    ----------
    own
        Each predicted by a stack that left it out.
    """
    return [
        Section(
            "Held-out cells",
            [
                headline(held_out.scores[STACK][POOLED]),
                SAID.format(temperature=temperature),
                *_compared_blocks(held_out),
            ],
        ),
        Section("Training cells, each left out once", _compared_blocks(own)),
    ]


def _compared_blocks(compared: FusionScores) -> list[Block]:
    scores = compared.scores
    return [
        score_table({name: each[POOLED] for name, each in scores.items()}),
        *(
            difference_table(each, first=name, second=STACK)
            for name, each in compared.gains.items()
        ),
        *notes_on_scores(scores[STACK]),
    ]
