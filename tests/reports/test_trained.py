"""The scores of all models of a workspace, each read from its card."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

from sts.base.files import write_json
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import Scores, by_dataset
from sts.reports.figures.scores import ModelScores
from sts.reports.page import Picture, Table, as_html
from sts.reports.trained import (
    BEST_TRIAL,
    HOLDOUT,
    all_models_section,
    describe_out_of_fold,
    make_optuna_study,
    models_by_cells,
    name_out_of_fold,
    out_of_fold_section,
    scores_for_card,
    search_blocks,
)
from sts.search.trials import FoldScore
from tests.evaluation.worlds import make_predictions
from tests.search.worlds import find, quality

HELD_OUT = make_predictions(60)
TRAINING = make_predictions(90, seed=1)


def score_all(predictions: Predictions) -> dict[str, Scores]:
    return by_dataset(predictions, rng=np.random.default_rng(0), resamples=50)


def card_of(held_out: Predictions, training: Predictions = TRAINING, trials: int = 50) -> Any:
    kept = scores_for_card(score_all(training), score_all(held_out), trials=trials)
    return {"scores": kept}


def write_card(models: Path, name: str, variant: str, card: Any) -> None:
    write_json(models / f"{name}_best_models" / variant / "model.json", card)


def names(models: list[ModelScores]) -> list[str]:
    return [each.name for each in models]


def test_what_a_card_holds_is_what_is_drawn(tmp_path: Path) -> None:
    write_card(tmp_path, "ResNet18", "NONE", card_of(HELD_OUT))
    write_card(tmp_path, "LightGBM", "engineered", card_of(HELD_OUT, trials=1))
    held_out, training = models_by_cells(tmp_path)
    assert (held_out.part, training.part) == (HOLDOUT, BEST_TRIAL)
    assert names(held_out.models) == ["LightGBM engineered", "ResNet18"]
    assert names(training.models) == [
        "LightGBM engineered",
        "ResNet18 (best of 50 trials)",
    ]
    for group, predictions in ((held_out, HELD_OUT), (training, TRAINING)):
        scores = score_all(predictions)
        assert (group.cells, group.fingerprint) == (len(predictions), predictions.fingerprint())
        assert group.by_dataset == {
            name: each.cells for name, each in scores.items() if name != "pooled"
        }
        for model in group.models:
            assert model.scores["weighted_f1"] == scores["pooled"].weighted_f1
            assert set(model.by_dataset) == set(scores) - {"pooled"}


def test_the_holdout_leads_in_a_card_and_the_other_scores_say_what_they_are() -> None:
    kept = card_of(HELD_OUT)["scores"]
    assert list(kept) == ["holdout", "out_of_fold_of_best_trial"]
    assert kept[BEST_TRIAL]["trials"] == 50


def test_models_of_other_cells_do_not_stand_beside_one_another(tmp_path: Path) -> None:
    """Of the same number, but one cell is another one."""
    others = make_predictions(61).rows(np.arange(1, 61))
    write_card(tmp_path, "A", "NONE", card_of(HELD_OUT))
    write_card(tmp_path, "B", "NONE", card_of(others))
    write_card(tmp_path, "C", "NONE", card_of(HELD_OUT))
    groups = models_by_cells(tmp_path)
    assert [(each.part, each.cells, names(each.models)) for each in groups[:2]] == [
        (HOLDOUT, 60, ["A", "C"]),
        (HOLDOUT, 60, ["B"]),
    ]
    section = all_models_section(tmp_path, tmp_path)
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert len(pictures) == 3
    assert len({path for each in pictures for path in each.files}) == 6
    seq = int((HELD_OUT.dataset == "PatchSeq").sum())
    assert pictures[0].caption == (
        f"60 held-out cells (PatchClamp {60 - seq}, PatchSeq {seq}); 2 models; cells "
        f"{HELD_OUT.fingerprint()[:8]}."
    )
    assert "90 training cells, out of fold (" in pictures[2].caption
    assert "chose the best of several trials are too high" in pictures[2].caption


def test_scores_that_chose_the_best_trial_are_called_that() -> None:
    assert name_out_of_fold(50) == "training cells, out of fold, best of 50 trials (too high)"
    assert "The best of 50 trials was chosen by these same cells" in describe_out_of_fold(50)
    # with --settings nothing was chosen
    assert name_out_of_fold(1) == "training cells, out of fold"
    assert "chosen" not in describe_out_of_fold(1)
    scores = score_all(TRAINING)
    assert out_of_fold_section(scores, 7, []).title == "Out of fold, best of 7 trials"


def test_a_model_without_scores_has_no_bar(tmp_path: Path) -> None:
    for name, card in (("A", {}), ("B", {"scores": None}), ("C", []), ("D", {"scores": {}})):
        write_card(tmp_path, name, "NONE", card)
    write_card(tmp_path, "F", "NONE", {"scores": {"holdout": {"pooled": {"cells": "x"}}}})
    broken = tmp_path / "E_best_models" / "NONE" / "model.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    assert models_by_cells(tmp_path) == []


def test_a_report_holds_the_best_trials_the_history_and_the_importances(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    searched = find(None, trials=25)
    table, history, importance = search_blocks(tmp_path, searched)
    assert isinstance(table, Table)
    assert table.rows[0][0] == searched.best_trial.number
    assert [len(table.rows), table.caption] == [10, "The best of 25 trials."]
    for picture in (history, importance):
        assert isinstance(picture, Picture)
        assert {path.suffix for path in picture.files} == {".png", ".svg"}
        assert all(path.stat().st_size > 5000 for path in picture.files)
        assert "<img" in as_html(picture) or "<svg" in as_html(picture)
    assert pyplot.get_fignums() == []
    assert {name for name in before if before[name] != mpl.rcParams[name]} <= {"backend"}


def test_the_same_search_is_drawn_alike(tmp_path: Path) -> None:
    searched = find(None, trials=12)
    for name in ("a", "b"):
        search_blocks(tmp_path / name, searched)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_study_for_optuna_has_the_numbers_scores_and_settings_of_the_search() -> None:
    def diverge(settings: dict[str, Any], fold: int) -> FoldScore:
        return FoldScore(math.nan) if settings["kind"] == "fancy" else quality(settings, fold)

    searched = find(None, diverge, trials=20)
    study = make_optuna_study(searched)
    assert study.best_trial.number == searched.best_trial.number
    assert study.best_params == searched.best
    assert len(study.trials) == 20


@pytest.mark.parametrize("trials", [1, 3])
def test_where_there_is_nothing_to_compare_nothing_is_drawn(tmp_path: Path, trials: int) -> None:
    searched = find(None, lambda settings, fold: FoldScore(0.5), trials=trials)
    (table,) = search_blocks(tmp_path, searched)
    assert isinstance(table, Table)
    assert not list(tmp_path.iterdir())
