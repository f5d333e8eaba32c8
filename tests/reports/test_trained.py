"""The scores of all models of a workspace, each read from its card."""

from pathlib import Path
from typing import Any

import numpy as np

from sts.base.files import write_json
from sts.evaluation.scores import Scores, by_dataset
from sts.reports.trained import models_with_scores, scores_for_card
from tests.evaluation.worlds import make_predictions


def make_scores() -> dict[str, Scores]:
    return by_dataset(make_predictions(60), rng=np.random.default_rng(0), resamples=50)


def write_card(models: Path, name: str, variant: str, card: Any) -> None:
    write_json(models / f"{name}_best_models" / variant / "model.json", card)


def test_what_a_card_holds_is_what_is_drawn(tmp_path: Path) -> None:
    scores = make_scores()
    kept = scores_for_card(scores["pooled"], scores)
    write_card(tmp_path, "ResNet18", "NONE", {"scores": kept})
    write_card(tmp_path, "LightGBM", "engineered", {"scores": kept})
    baseline, network = models_with_scores(tmp_path)
    assert (baseline.name, network.name) == ("LightGBM engineered", "ResNet18")
    for model in (baseline, network):
        assert model.holdout["weighted_f1"] == scores["pooled"].weighted_f1
        assert model.cross_validation["balanced_accuracy"] == scores["pooled"].balanced_accuracy
        assert set(model.holdout_by_dataset) == set(scores) - {"pooled"}


def test_a_model_without_scores_has_no_bar(tmp_path: Path) -> None:
    for name, card in (("A", {}), ("B", {"scores": None}), ("C", []), ("D", {"scores": {}})):
        write_card(tmp_path, name, "NONE", card)
    broken = tmp_path / "E_best_models" / "NONE" / "model.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    assert models_with_scores(tmp_path) == []
