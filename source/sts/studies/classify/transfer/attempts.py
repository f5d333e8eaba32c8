"""The attempt to carry a classifier over: recipes tried on worlds, the best one on the cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import spearmanr

from sts.base.parallel import map_unordered
from sts.base.progress import progress
from sts.base.types import Floats
from sts.datasets.ep_tables import EpTable
from sts.evaluation.bootstrap import Interval
from sts.evaluation.compare import compare
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import POOLED
from sts.evaluation.transfer import TransferScores, transfer_scores
from sts.studies.classify.transfer.crossing import predictions_of
from sts.studies.classify.transfer.recipes import PLAIN, RECIPES, Recipe, Training, attempts
from sts.studies.classify.transfer.worlds import HALVES, half_scores

# For scores of recipes that were not chosen, which are told without intervals.
NO_RESAMPLES: Final = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Attempt:
    """Every recipe from one data set to the other, and the one that was chosen."""

    trained_on: str
    tested_on: str
    in_worlds: Floats
    """Mean score of each recipe where it was chosen."""
    predictions: tuple[Predictions, ...]
    """Of the other data set's cells, by each recipe."""

    @property
    def chosen(self) -> int:
        """Return the place of the recipe that was best in the worlds; of equals the first."""
        return int(self.in_worlds.argmax())

    @property
    def recipe(self) -> Recipe:
        """Return the recipe that was chosen."""
        return RECIPES[self.chosen]

    def of(self, recipe: Recipe) -> Predictions:
        """Return what a recipe says."""
        return self.predictions[RECIPES.index(recipe)]

    @property
    def gain(self) -> Interval:
        """Return what the chosen recipe adds to the weighted F1 of the plain one, paired."""
        found = compare(self.of(PLAIN), self.of(self.recipe), rng=np.random.default_rng(0))
        return found.groups[POOLED].differences["weighted_f1"].difference

    def scores(self) -> list[TransferScores]:
        """Return the scores of every recipe on the other data set, as is seen afterwards."""
        rng = np.random.default_rng(0)
        return [transfer_scores(each, rng=rng, resamples=NO_RESAMPLES) for each in self.predictions]

    def agreement(self) -> float:
        """Return how well worlds rank the recipes, by Spearman's correlation with weighted F1.

        NaN where all recipes do alike.
        """
        found = [each.weighted_f1.value for each in self.scores()]
        if min(np.ptp(found), np.ptp(self.in_worlds)) == 0:
            return math.nan
        return float(spearmanr(self.in_worlds, found).statistic)


def steps_to(recipe: Recipe) -> dict[str, Recipe]:
    """Return the plain recipe, the chosen one, and what it is with each of its choices alone."""
    alone = {
        name: Recipe(**{**vars(PLAIN), name: getattr(recipe, name)})
        for name in vars(PLAIN)
        if getattr(recipe, name) != getattr(PLAIN, name)
    }
    return {"plain": PLAIN, **{f"only {name}": each for name, each in alone.items()}} | {
        "chosen": recipe
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """One piece of work: the worlds of one half, or, without one, the cells themselves."""

    training: Training
    others: Floats
    half: int | None

    def run(self) -> Any:
        """Return the scores in worlds, or what each recipe says of the other data set."""
        if self.half is not None:
            return half_scores(self.training, self.others, self.half)
        found = dict(attempts(self.training, self.others, fitted={}))
        return [found[recipe] for recipe in RECIPES]


def attempt_both_ways(table: EpTable, *, seed: int, workers: int) -> list[Attempt]:
    """Carry classifiers over from each data set to the other; classes of the other are not seen."""
    names = np.unique(table.dataset).tolist()
    work = [
        Trial(training=_training(table, name, seed), others=_others(table, name).X, half=half)
        for name in names
        for half in (None, *range(HALVES))
    ]
    found: list[Any] = [None] * len(work)
    with progress(len(work), "ways from one data set to the other") as bar:
        for at, values in map_unordered(Trial.run, work, workers=workers):
            found[at] = values
            bar.advance()
    step = 1 + HALVES
    return [
        _attempt(table, name, found[step * at : step * (at + 1)]) for at, name in enumerate(names)
    ]


def _training(table: EpTable, name: str, seed: int) -> Training:
    own = table.rows(table.dataset == name)
    return Training(X=own.X, y=own.truth, names=table.names, seed=seed)


def _others(table: EpTable, name: str) -> EpTable:
    return table.rows(table.dataset != name)


def _attempt(table: EpTable, name: str, found: Sequence[Any]) -> Attempt:
    said, *worlds = found
    others = _others(table, name)
    return Attempt(
        trained_on=name,
        tested_on=str(others.dataset[0]),
        in_worlds=np.concatenate(worlds).mean(axis=0),
        predictions=tuple(predictions_of(others, each) for each in said),
    )
