"""Apply a classifier to another data set without the classes of its cells.

The recipe is selected on cells of known class. The cells of the training data set are divided into
halves. One half is for training. From the other half, data sets are simulated: classes have random
shares, and features are shifted, stretched and missing as much as the unlabelled features of the
real other data set are. The best recipe on simulated data sets is used on the real one.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from sts.base.parallel import map_unordered
from sts.base.progress import progress
from sts.base.types import Floats, Ints
from sts.datasets.ep_tables import EpTable
from sts.evaluation.compare import compare
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED, Interval
from sts.evaluation.transfer import TransferScores, transfer_scores
from sts.studies.classify.transfer.recipes import (
    PLAIN,
    RECIPES,
    LabelledCells,
    ModelPair,
    Recipe,
    apply_recipes,
)

HALVES: Final = 2
# Number of simulated data sets of each half.
SIMULATED: Final = 5
# Largest number of cells of a simulated data set; cells of a rare class are drawn repeatedly.
MOST_CELLS: Final = 1000
FEWEST_OF_A_CLASS: Final = 5
# Number of resamples for recipes that were not selected, which are shown without intervals.
NO_RESAMPLES: Final = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaps:
    """The differences of the features of two data sets without classes; fields are (features,)."""

    middle: Floats
    """Median of the first, 0 for a feature without a scale; `spread` is between its quartiles."""
    spread: Floats
    shift: Floats
    """Of the median, in spreads."""
    stretch: Floats
    """Logarithm of the ratio of spreads."""
    gone: Floats
    """Probability that a known value is missing in the second."""


def measure_gaps(here: Floats, there: Floats) -> Gaps:
    """Return the differences of the features of the second data set from those of the first."""
    (middle, spread), (other_middle, other_spread) = _scale(here), _scale(there)
    scaled = (spread > 0) & (other_spread > 0)
    safe = np.where(scaled, spread, 1.0)
    missing, other_missing = (np.isnan(each).mean(axis=0) for each in (here, there))
    present = np.maximum(1.0 - missing, 1.0 / len(here))
    return Gaps(
        middle=np.where(scaled, middle, 0.0),
        spread=np.where(scaled, spread, 0.0),
        shift=np.where(scaled, (other_middle - middle) / safe, 0.0),
        stretch=np.log(np.where(scaled, other_spread, 1.0) / safe),
        gone=np.clip((other_missing - missing) / present, 0.0, 1.0),
    )


def _scale(X: Floats) -> tuple[Floats, Floats]:
    """Return median and distance between the quartiles of each feature, 0 if it is missing."""
    absent = np.isnan(X).all(axis=0)
    low, middle, high = np.nanquantile(np.where(absent, 0.0, X), (0.25, 0.5, 0.75), axis=0)
    return middle, high - low


def simulate_data_set(
    X: Floats, y: Ints, gaps: Gaps, *, rng: np.random.Generator
) -> tuple[Floats, Ints]:
    """Return cells with random class shares and with changed features, and their classes."""
    present = np.unique(y)
    shares = rng.dirichlet(np.ones(len(present)))
    cells = min(MOST_CELLS, len(y))
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(y == label), max(FEWEST_OF_A_CLASS, round(share * cells)))
            for label, share in zip(present.tolist(), shares.tolist(), strict=True)
        ]
    )
    return move_features(X[rows], gaps, rng=rng), y[rows]


def move_features(X: Floats, gaps: Gaps, *, rng: np.random.Generator) -> Floats:
    """Return cells whose differences from X are like those of another data set.

    Every feature is shifted and stretched like a randomly drawn feature, up or down.
    """
    has_scale = gaps.spread > 0
    if has_scale.any():
        shift, stretch = (
            rng.choice(each[has_scale], X.shape[1]) * rng.choice([-1.0, 1.0], X.shape[1])
            for each in (gaps.shift, gaps.stretch)
        )
        factor = np.where(has_scale, np.exp(stretch), 1.0)
        X = (X - gaps.middle) * factor + gaps.middle + shift * gaps.spread
    return np.where(rng.random(X.shape) < gaps.gone, np.nan, X)


def score_recipes(training: LabelledCells, others: Floats, half: int) -> Floats:
    """Return the score of every recipe on simulated data sets of one half, trained on the other.

    The score is the mean of weighted F1 and balanced accuracy; (data sets, recipes).
    """
    halves = StratifiedKFold(HALVES, shuffle=True, random_state=training.seed)
    fit, rest = list(halves.split(training.X, training.y))[half]
    some = LabelledCells(
        X=training.X[fit], y=training.y[fit], names=training.names, seed=training.seed
    )
    gaps = measure_gaps(training.X, others)
    rng = np.random.default_rng((training.seed, half))
    fitted: dict[str, ModelPair] = {}
    scores = []
    for _ in range(SIMULATED):
        X, y = simulate_data_set(training.X[rest], training.y[rest], gaps, rng=rng)
        applied = dict(apply_recipes(some, X, fitted=fitted))
        scores.append([_score(y, applied[recipe].argmax(axis=1)) for recipe in RECIPES])
    return np.array(scores)


def _score(truth: Ints, predicted: Ints) -> float:
    recalls = [np.mean(predicted[truth == label] == label) for label in np.unique(truth)]
    f1 = f1_score(truth, predicted, average="weighted", zero_division=0.0)
    return float((np.mean(recalls) + f1) / 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class CarryOver:
    """Every recipe from one data set to the other, and the selected recipe."""

    trained_on: str
    tested_on: str
    in_worlds: Floats
    """Mean score of each recipe on the simulated data sets."""
    predictions: tuple[Predictions, ...]
    """Of the other data set's cells, by each recipe."""

    @property
    def chosen(self) -> int:
        """Return the index of the recipe with the best mean score; of equal recipes the first."""
        return int(self.in_worlds.argmax())

    @property
    def recipe(self) -> Recipe:
        """Return the selected recipe."""
        return RECIPES[self.chosen]

    def predictions_by(self, recipe: Recipe) -> Predictions:
        """Return the predictions of a recipe."""
        return self.predictions[RECIPES.index(recipe)]

    @property
    def gain(self) -> Interval:
        """Return the gain in weighted F1 of the selected recipe over the plain recipe, paired."""
        plain, chosen = self.predictions_by(PLAIN), self.predictions_by(self.recipe)
        groups = compare(plain, chosen, rng=np.random.default_rng(0)).groups
        return groups[POOLED].differences["weighted_f1"].difference

    def scores(self) -> list[TransferScores]:
        """Return the scores of every recipe on the other data set, not used for the selection."""
        rng = np.random.default_rng(0)
        return [
            transfer_scores(prediction, rng=rng, resamples=NO_RESAMPLES)
            for prediction in self.predictions
        ]

    def agreement(self) -> float:
        """Return Spearman's correlation of the mean scores with the weighted F1 on real cells.

        NaN where all recipes are equally good.
        """
        real_scores = [each.weighted_f1.value for each in self.scores()]
        if min(np.ptp(real_scores), np.ptp(self.in_worlds)) == 0:
            return math.nan
        return float(spearmanr(self.in_worlds, real_scores).statistic)


def list_steps(recipe: Recipe) -> dict[str, Recipe]:
    """Return the plain recipe, each choice of a recipe alone, and the recipe itself, by title."""
    alone = {
        f"only {name}": Recipe(**{**vars(PLAIN), name: choice})
        for name, choice in vars(recipe).items()
        if choice != getattr(PLAIN, name)
    }
    return {"plain": PLAIN, **alone, "chosen": recipe}


def carry_over_both_ways(table: EpTable, *, seed: int, workers: int) -> list[CarryOver]:
    """Carry classifiers over from each data set to the other, whose classes are not used."""
    names = np.unique(table.dataset).tolist()
    own = {name: table.rows(table.dataset == name) for name in names}
    others = {name: table.rows(table.dataset != name) for name in names}
    work = [
        (
            LabelledCells(X=own[name].X, y=own[name].truth, names=table.names, seed=seed),
            others[name].X,
            half,
        )
        for name in names
        for half in (None, *range(HALVES))
    ]
    outputs: list[Any] = [None] * len(work)
    with progress(len(work), "ways from one data set to the other") as bar:
        for at, values in map_unordered(_run_part, work, workers=workers):
            outputs[at] = values
            bar.advance()
    step = 1 + HALVES
    parts = [outputs[start : start + step] for start in range(0, len(outputs), step)]
    return [
        CarryOver(
            trained_on=name,
            tested_on=str(others[name].dataset[0]),
            in_worlds=np.concatenate(scores).mean(axis=0),
            predictions=tuple(
                predictions_of(others[name], probability) for probability in probabilities
            ),
        )
        for name, (probabilities, *scores) in zip(names, parts, strict=True)
    ]


def _run_part(part: tuple[LabelledCells, Floats, int | None]) -> Any:
    """Return the scores of recipes on one half, or, without a half, their probabilities."""
    training, others, half = part
    if half is not None:
        return score_recipes(training, others, half)
    applied = dict(apply_recipes(training, others, fitted={}))
    return [applied[recipe] for recipe in RECIPES]


def predictions_of(table: EpTable, probabilities: Floats) -> Predictions:
    """Return the probabilities of the cells of a table as predictions."""
    return Predictions(
        specimen_id=table.specimen_id,
        dataset=table.dataset,
        truth=table.truth,
        probabilities=probabilities,
        donor_id=table.donor_id,
    )
