"""The report of a search shows its best trials and Optuna's pictures."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib import pyplot

from sts.reports.blocks import Picture, Table
from sts.reports.page import as_html
from sts.reports.search import search_blocks, study_of
from sts.search.trials import FoldScore
from tests.search.worlds import find, quality


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
    study = study_of(searched)
    assert study.best_trial.number == searched.best_trial.number
    assert study.best_params == searched.best
    assert len(study.trials) == 20


@pytest.mark.parametrize("trials", [1, 3])
def test_where_there_is_nothing_to_compare_nothing_is_drawn(tmp_path: Path, trials: int) -> None:
    searched = find(None, lambda settings, fold: FoldScore(0.5), trials=trials)
    (table,) = search_blocks(tmp_path, searched)
    assert isinstance(table, Table)
    assert not list(tmp_path.iterdir())
