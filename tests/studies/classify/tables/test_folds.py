"""Folds that are begun before they are asked for."""

from typing import Any

import pytest

from sts.search.trials import FoldScore
from sts.studies.classify.tables.training import Ahead


def test_folds_begun_ahead_score_as_folds_in_turn() -> None:
    begun: list[tuple[int, int]] = []

    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        begun.append((settings["a"], fold))
        return FoldScore(settings["a"] + fold / 10)

    with Ahead(score, 3, workers=2) as ahead:
        # The second trial is left after its first fold, the third begins in the middle.
        asked = [(1, 0), (1, 1), (1, 2), (2, 0), (3, 1), (3, 2), (1, 0)]
        found = [ahead({"a": a}, fold).value for a, fold in asked]
    assert found == [a + fold / 10 for a, fold in asked]
    assert (3, 0) not in begun
    begun.clear()
    with Ahead(score, 3, workers=1) as ahead:
        ahead({"a": 1}, 0)
    assert begun == [(1, 0)]


def test_a_fold_that_fails_ahead_fails_when_it_is_asked_for() -> None:
    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        if fold == 1:
            raise FloatingPointError("diverged")
        return FoldScore(1.0)

    with Ahead(score, 2, workers=2) as ahead:
        assert ahead({}, 0).value == 1.0
        with pytest.raises(FloatingPointError):
            ahead({}, 1)
