"""The attempt to carry a classifier over, as the report tells it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import numpy as np

from sts.reports.blocks import Table
from sts.studies.baseline.transferring.attempts import Attempt, steps_to
from sts.studies.baseline.transferring.recipes import RECIPES

SCORES: Final = {"weighted_f1": "weighted F1", "balanced_accuracy": "balanced accuracy"}
RECIPE_COLUMNS: Final = ("trained_on", "tested_on", "fit", "scale", "shares", "in_worlds", *SCORES)


def attempt_blocks(found: Sequence[Attempt]) -> Iterator[str | Table]:
    """Yield how recipes were chosen, and for each way what was chosen and what each choice did."""
    yield (
        f"{len(RECIPES)} recipes were tried each way: which features, on which scale, with which "
        "shares of classes, by LightGBM and extra trees together. None sees a class of the other "
        "data set; scales, weights and shares come from its unlabelled features, which are those "
        "of the very cells that are tested: on new cells of that data set the scores may be lower. "
        "The plain recipe sees nothing of them. The recipe was "
        "chosen on made-up data sets: half of the training cells are trained on, the others are "
        "drawn with random shares of classes, and every feature is shifted, stretched and missing "
        "as much as features of the real other data set are. The best mean of weighted F1 and "
        "balanced accuracy there is what counts; what the other data set's classes say was looked "
        "at afterwards only."
    )
    for attempt in found:
        where = f"{attempt.trained_on} → {attempt.tested_on}"
        yield f"{where}, chosen: {attempt.recipe.in_words()}. {_in_hindsight(attempt)}"
        yield _steps(attempt, where)


def _in_hindsight(attempt: Attempt) -> str:
    scores = [each.weighted_f1.value for each in attempt.scores()]
    best = int(np.argmax(scores))
    agreement = attempt.agreement()
    alike = (
        "all recipes do alike"
        if math.isnan(agreement)
        else "the worlds rank the recipes as the real cells do with a correlation of "
        f"{agreement:.2f} (Spearman)"
    )
    return (
        f"In hindsight: {alike}; the best of all would have been ({RECIPES[best].in_words()}), "
        f"weighted F1 {scores[best]:.3f}."
    )


def _steps(attempt: Attempt, where: str) -> Table:
    scores = attempt.scores()
    lines: list[list[object]] = []
    for name, recipe in steps_to(attempt.recipe).items():
        at = RECIPES.index(recipe)
        values = [attempt.in_worlds[at], *(getattr(scores[at], one).value for one in SCORES)]
        lines.append([name, *(f"{value:.3f}" for value in values), recipe.in_words()])
    return Table(
        columns=["recipe", "in the worlds", *SCORES.values(), "in words"],
        rows=lines,
        caption=f"{where}: the plain recipe, each choice alone, all together.",
    )


def recipe_lines(found: Sequence[Attempt]) -> Iterator[dict[str, object]]:
    """Yield every recipe each way, with its scores in the worlds and on the real cells."""
    for attempt in found:
        for recipe, worlds, scores in zip(
            RECIPES, attempt.in_worlds, attempt.scores(), strict=True
        ):
            values = {name: getattr(scores, name).value for name in SCORES}
            about = {"trained_on": attempt.trained_on, "tested_on": attempt.tested_on}
            yield {**about, **asdict(recipe), "in_worlds": float(worlds), **values}
