"""Cells of one animal are alike: intervals draw whole donors where donors are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.types import CLASSES
from sts.evaluation.compare import compare
from sts.evaluation.predictions import Predictions
from sts.evaluation.scores import score
from sts.evaluation.transfer import transfer_scores
from sts.reports.predictions import read_predictions, write_predictions

N = 120


def make_predictions(seed: int = 0) -> Predictions:
    """Return cells of four classes of which three in four are recognised."""
    rng = np.random.default_rng(seed)
    truth = np.arange(N) % len(CLASSES)
    logits = rng.normal(size=(N, len(CLASSES))) + 2.0 * np.eye(len(CLASSES))[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(
        specimen_id=np.array([f"{1000 + at}" for at in range(N)]),
        dataset=np.array([""] * N),
        truth=truth,
        probabilities=probabilities,
    )


def twice(predictions: Predictions, *, donors: bool) -> Predictions:
    """Return every cell twice: a second cell of the same animal that says nothing new."""
    again = np.repeat(np.arange(N), 2)
    ids = np.array([f"{name}-{at % 2}" for at, name in enumerate(predictions.specimen_id[again])])
    donor_id = np.array([f"donor {at:03d}" for at in again]) if donors else None
    return Predictions(
        specimen_id=ids,
        dataset=predictions.dataset[again],
        truth=predictions.truth[again],
        probabilities=predictions.probabilities[again],
        donor_id=donor_id,
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_second_cell_of_an_animal_that_says_nothing_new_narrows_no_interval() -> None:
    single = score(make_predictions(), rng=rng())
    doubled = score(twice(make_predictions(), donors=True), rng=rng())
    for name in ("balanced_accuracy", "weighted_f1", "macro_f1", "log_loss"):
        one, other = getattr(single, name), getattr(doubled, name)
        # The same donors are drawn; sums of twice the cells round in another order.
        assert np.allclose(
            (one.value, one.low, one.high), (other.value, other.low, other.high), rtol=1e-9
        ), name
    unaware = score(twice(make_predictions(), donors=False), rng=rng())
    width = [each.balanced_accuracy.high - each.balanced_accuracy.low for each in (single, unaware)]
    # Twice the cells as if independent: narrower by the root of two, to what 2,000 draws tell.
    assert 1.25 < width[0] / width[1] < 1.6


def test_differences_and_weighted_scores_draw_donors_too() -> None:
    first, second = make_predictions(0), make_predictions(1)
    single = compare(first, second, rng=rng()).groups["pooled"].differences["weighted_f1"]
    doubled = compare(twice(first, donors=True), twice(second, donors=True), rng=rng())
    other = doubled.groups["pooled"].differences["weighted_f1"]
    assert np.allclose(
        (single.difference.low, single.difference.high),
        (other.difference.low, other.difference.high),
        rtol=1e-9,
    )
    one, two = (
        transfer_scores(each, rng=rng()).balanced_accuracy
        for each in (first, twice(first, donors=True))
    )
    assert np.allclose((one.low, one.high), (two.low, two.high), rtol=1e-9)


def test_a_cell_without_a_donor_is_one_of_its_own() -> None:
    plain = make_predictions()
    nobody = replace(plain, donor_id=np.array([""] * N))
    own = replace(plain, donor_id=np.array([f"d{at}" for at in range(N)]))
    assert score(plain, rng=rng()).weighted_f1 == score(nobody, rng=rng()).weighted_f1
    assert score(plain, rng=rng()).weighted_f1 == score(own, rng=rng()).weighted_f1


def test_a_class_of_which_a_draw_has_no_cell_still_has_an_interval() -> None:
    plain = make_predictions()
    # Every Sst cell is of an animal that has more cells of other classes.
    donor_id = np.array([f"d{at // 8}" for at in range(N)])
    donor_id[plain.truth == 3] = "d0"
    found = score(replace(plain, donor_id=donor_id), rng=rng()).per_class["Sst"].recall
    assert np.isfinite((found.low, found.high)).all()


def test_few_donors_are_noted() -> None:
    plain = make_predictions()
    donor_id = np.array([f"d{at}" for at in range(N)])
    donor_id[plain.truth == 0] = np.array(["p1", "p2"] * (N // 8))
    assert score(replace(plain, donor_id=donor_id), rng=rng()).notes == (
        "intervals draw whole donors: 92 donors, 0 cells of unknown donor",
        "few donors of class Pvalb (2): intervals are too narrow",
    )


def test_donors_are_kept_with_predictions(tmp_path: Path) -> None:
    known = twice(make_predictions(), donors=True)
    write_predictions(tmp_path / "known.csv", known)
    assert read_predictions(tmp_path / "known.csv").donors.tolist() == known.donors.tolist()
    write_predictions(tmp_path / "none.csv", make_predictions())
    assert "donor_id" not in (tmp_path / "none.csv").read_text().splitlines()[0]
    assert set(read_predictions(tmp_path / "none.csv").donors.tolist()) == {""}


def test_donors_are_as_many_as_cells() -> None:
    with pytest.raises(ValueError, match="donor_id must have shape"):
        replace(make_predictions(), donor_id=np.array(["a"]))
