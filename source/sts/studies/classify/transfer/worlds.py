"""Which recipe to carry a classifier over by, found on cells whose classes may be looked at.

Cells of the training data set are divided in halves. One is trained on, the other becomes another
data set: classes as frequent as a draw says, and every feature moved as unlabelled features of the
real other data set are. What tells these worlds' classes best is chosen for the real one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from sts.base.types import Floats, Ints
from sts.studies.classify.transfer.recipes import RECIPES, ModelPair, Training, attempts

HALVES: Final = 2
WORLDS: Final = 5
# Cells of a world; a class of few is drawn from again and again.
MOST_CELLS: Final = 1000
FEWEST_OF_A_CLASS: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Cells of known class as another data set might hold them."""

    X: Floats
    y: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaps:
    """By how much the features of two data sets differ, their classes aside; (features,) each."""

    middle: Floats
    """Median of the first, 0 for a feature without a scale; `spread` is between its quartiles."""
    spread: Floats
    shift: Floats
    """Of the median, in spreads."""
    stretch: Floats
    """Logarithm of the ratio of spreads."""
    gone: Floats
    """How likely a value that is there goes missing."""


def gaps_between(here: Floats, there: Floats) -> Gaps:
    """Return how the features of the second data set differ from those of the first."""
    (middle, spread), (other_middle, other_spread) = _scale(here), _scale(there)
    scaled = (spread > 0) & (other_spread > 0)
    safe = np.where(scaled, spread, 1.0)
    missing, other_missing = (np.isnan(each).mean(axis=0) for each in (here, there))
    present = np.maximum(1.0 - missing, 1.0 / len(here))
    return Gaps(
        middle=np.where(scaled, middle, 0.0),
        spread=np.where(scaled, spread, 0.0),
        shift=np.where(scaled, (other_middle - middle) / safe, 0.0),
        stretch=np.log(np.where(scaled, other_spread, 1.0) / np.where(scaled, spread, 1.0)),
        gone=np.clip((other_missing - missing) / present, 0.0, 1.0),
    )


def _scale(X: Floats) -> tuple[Floats, Floats]:
    """Return median and distance between the quartiles of each feature, 0 where it is absent."""
    absent = np.isnan(X).all(axis=0)
    low, middle, high = np.nanquantile(np.where(absent, 0.0, X), (0.25, 0.5, 0.75), axis=0)
    return middle, high - low


def moved(X: Floats, gaps: Gaps, *, rng: np.random.Generator) -> Floats:
    """Return cells as a data set might hold them that differs as much as another one does.

    Every feature is shifted and stretched as one drawn at random is, up or down.
    """
    scaled = np.flatnonzero(gaps.spread > 0)
    if len(scaled):
        shift, stretch = (
            rng.choice(each[scaled], X.shape[1]) * rng.choice([-1.0, 1.0], X.shape[1])
            for each in (gaps.shift, gaps.stretch)
        )
        has_scale = gaps.spread > 0
        factor = np.where(has_scale, np.exp(stretch), 1.0)
        X = (X - gaps.middle) * factor + gaps.middle + shift * gaps.spread
    return np.where(rng.random(X.shape) < gaps.gone, np.nan, X)


def draw_world(X: Floats, y: Ints, gaps: Gaps, *, rng: np.random.Generator) -> World:
    """Return cells in which classes are as frequent as a draw says, and features are moved."""
    present = np.unique(y)
    shares = rng.dirichlet(np.ones(len(present)))
    cells = min(MOST_CELLS, len(y))
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(y == label), max(FEWEST_OF_A_CLASS, round(share * cells)))
            for label, share in zip(present.tolist(), shares.tolist(), strict=True)
        ]
    )
    return World(X=moved(X[rows], gaps, rng=rng), y=y[rows])


def half_scores(training: Training, others: Floats, half: int) -> Floats:
    """Return the score of every recipe in worlds made of one half, trained on the other.

    The score is the mean of weighted F1 and balanced accuracy; (worlds, recipes).
    """
    halves = StratifiedKFold(HALVES, shuffle=True, random_state=training.seed)
    fit, rest = list(halves.split(training.X, training.y))[half]
    some = Training(X=training.X[fit], y=training.y[fit], names=training.names, seed=training.seed)
    gaps = gaps_between(training.X, others)
    rng = np.random.default_rng((training.seed, half))
    fitted: dict[str, ModelPair] = {}
    scores = []
    for _ in range(WORLDS):
        world = draw_world(training.X[rest], training.y[rest], gaps, rng=rng)
        found = dict(attempts(some, world.X, fitted=fitted))
        scores.append([_score(world.y, found[recipe].argmax(axis=1)) for recipe in RECIPES])
    return np.array(scores)


def _score(truth: Ints, said: Ints) -> float:
    recalls = [np.mean(said[truth == label] == label) for label in np.unique(truth)]
    f1 = f1_score(truth, said, average="weighted", zero_division=0.0)
    return float((np.mean(recalls) + f1) / 2)
