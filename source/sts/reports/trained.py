"""The scores that travel with a model, and those of all models of a workspace side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.evaluation.bootstrap import Interval
from sts.evaluation.scores import POOLED, Scores
from sts.reports.blocks import Block, Picture, Section
from sts.reports.figures.bars import SHOWN, ModelScores, draw_bars
from sts.reports.tables import score_table

# Beside every model, network or not.
CARD: Final = "model.json"
HOLDOUT: Final = "holdout"
# What scores of a search's best trial are called, in a card and in a report.
BEST_TRIAL: Final = "out_of_fold_of_best_trial"


def name_out_of_fold(trials: int) -> str:
    """Return what scores of the training cells by the folds are called, after so many trials."""
    chosen = "" if trials < 2 else f", best of {trials} trials (too high)"
    return f"training cells, out of fold{chosen}"


def describe_out_of_fold(trials: int) -> str:
    """Return how such scores are to be read."""
    said = "Training cells, each predicted by the model of a fold that was not fitted on it."
    if trials < 2:
        return said
    return (
        f"{said} Of {trials} trials the best one was chosen by these very cells, so these scores "
        "are too high: what the model is worth stands under Holdout."
    )


def out_of_fold_section(scores: Mapping[str, Scores], trials: int, more: list[Block]) -> Section:
    """Return what the folds say, labelled as what it is."""
    title = "Out of fold" if trials < 2 else f"Out of fold, best of {trials} trials"
    return Section(title, [describe_out_of_fold(trials), score_table(scores), *more])


def scores_for_card(
    out_of_fold: Mapping[str, Scores], holdout: Mapping[str, Scores], *, trials: int
) -> dict[str, Any]:
    """Return the scores that travel with a model, the holdout first.

    Parameters
    ----------
    trials
        Of the search that chose the best one by its scores out of fold.
    """
    return {
        HOLDOUT: {name: _kept(each) for name, each in holdout.items()},
        BEST_TRIAL: {
            "trials": trials,
            "scores": {name: _kept(each) for name, each in out_of_fold.items()},
        },
    }


def _kept(scores: Scores) -> dict[str, Any]:
    about = {"cells": scores.cells, "fingerprint": scores.fingerprint}
    return about | {name: asdict(getattr(scores, name)) for name in SHOWN}


@dataclass(frozen=True, kw_only=True)
class SameCells:
    """Models that were scored on the same cells, the same way."""

    part: str
    """`HOLDOUT` or `BEST_TRIAL`."""
    fingerprint: str
    """Of who the cells are."""
    cells: int
    by_dataset: Mapping[str, int]
    """Cells of each data set."""
    models: list[ModelScores] = field(default_factory=list)

    def in_words(self) -> str:
        """Return which cells these are, such as "1,118 held-out cells (PatchSeq 829, ...)"."""
        of = ", ".join(f"{name} {cells:,}" for name, cells in self.by_dataset.items())
        origins = f" ({of})" if of else ""
        if self.part == HOLDOUT:
            return f"{self.cells:,} held-out cells{origins}"
        return f"{self.cells:,} training cells, out of fold{origins}"


def models_by_cells(models: Path) -> list[SameCells]:
    """Return every trained model of a workspace with those that were scored on the same cells.

    Held-out cells come first, of these those of most models.
    """
    found: dict[tuple[str, str], SameCells] = {}
    for path in sorted(models.glob(f"*_best_models/*/{CARD}")):
        try:
            read = list(_scored(path))
        except (StsError, AttributeError, TypeError, KeyError, ValueError):
            continue  # a model of others, or one without scores, has no bar
        for each in read:
            group = found.setdefault((each.part, each.fingerprint), replace(each, models=[]))
            group.models.extend(each.models)
    return sorted(found.values(), key=lambda each: (each.part != HOLDOUT, -len(each.models)))


def _scored(path: Path) -> Iterator[SameCells]:
    """Yield what a card says of held-out cells, and what of training cells out of fold."""
    kept = read_json(path).get("scores") or {}
    name = path.parts[-3].removesuffix("_best_models")
    name = name if path.parts[-2] == "NONE" else f"{name} {path.parts[-2]}"
    best = kept.get(BEST_TRIAL) or {}
    for part, scores in ((HOLDOUT, kept.get(HOLDOUT)), (BEST_TRIAL, best.get("scores"))):
        if scores:
            searched = part == BEST_TRIAL and best["trials"] > 1
            chosen = f" (best of {best['trials']} trials)" if searched else ""
            intervals = {group: _read(each) for group, each in scores.items()}
            pooled = intervals.pop(POOLED)
            yield SameCells(
                part=part,
                fingerprint=scores[POOLED]["fingerprint"],
                cells=int(scores[POOLED]["cells"]),
                by_dataset={each: int(scores[each]["cells"]) for each in intervals},
                models=[ModelScores(name=f"{name}{chosen}", scores=pooled, by_dataset=intervals)],
            )


def _read(scores: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval.from_dict(values) for name, values in scores.items() if name in SHOWN}


def all_models_section(figures: Path, models: Path) -> Section:
    """Draw every trained model of a workspace, beside those only that saw the same cells."""
    groups = models_by_cells(models)
    said = (
        "Bars stand side by side only where they are of the same cells. The mark behind each set "
        "of cells is a digest of their specimen ids."
    )
    blocks: list[Block] = [said]
    for number, group in enumerate(groups, start=1):
        files = draw_bars(figures / f"models-{number}", group.models, cells=group.in_words())
        caption = (
            f"{group.in_words()}; {len(group.models)} "
            f"{'model' if len(group.models) == 1 else 'models'}; cells {group.fingerprint[:8]}."
        )
        if group.part == BEST_TRIAL:
            caption += " Those that chose the best of several trials are too high."
        blocks.append(Picture(files=files, caption=caption))
    return Section("All models", blocks)
