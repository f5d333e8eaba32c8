"""The scores that travel with a model, and those of all models of a workspace side by side."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.evaluation.bootstrap import Interval
from sts.evaluation.scores import POOLED, Scores
from sts.figures.bars import SHOWN, ModelScores

# Beside every model, network or not.
CARD: Final = "model.json"


def scores_for_card(cross_validation: Scores, holdout: Mapping[str, Scores]) -> dict[str, Any]:
    """Return the scores that travel with a model."""
    return {
        "cross_validation": _intervals(cross_validation),
        "holdout": {name: _intervals(each) for name, each in holdout.items()},
    }


def _intervals(scores: Scores) -> dict[str, dict[str, float]]:
    return {name: asdict(getattr(scores, name)) for name in SHOWN}


def models_with_scores(models: Path) -> list[ModelScores]:
    """Return the scores of every trained model in the workspace, networks and baselines alike."""
    found = []
    for path in sorted(models.glob(f"*_best_models/*/{CARD}")):
        try:
            scores = read_json(path).get("scores", {})
            holdout = {name: _read(each) for name, each in scores.get("holdout", {}).items()}
            cross = _read(scores.get("cross_validation", {}))
        except (StsError, AttributeError, TypeError, KeyError, ValueError):
            continue  # a model of others, or one without scores, has no bar
        if holdout or cross:
            name = path.parts[-3].removesuffix("_best_models")
            found.append(
                ModelScores(
                    name=name if path.parts[-2] == "NONE" else f"{name} {path.parts[-2]}",
                    cross_validation=cross,
                    holdout=holdout.pop(POOLED, {}),
                    holdout_by_dataset=holdout,
                )
            )
    return found


def _read(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Interval]:
    return {name: Interval.from_dict(values) for name, values in scores.items() if name in SHOWN}
