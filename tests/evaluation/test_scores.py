"""Scores equal scikit-learn's, their intervals a bootstrap written out."""

import json
import time
import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn import metrics

from sts.base.errors import StsError
from sts.base.files import write_json
from sts.base.types import CLASSES
from sts.evaluation.calibration import CalibrationError, reliability
from sts.evaluation.predictions import RESAMPLED, Predictions, scores_of
from sts.evaluation.scores import (
    POOLED,
    Interval,
    Scores,
    by_dataset,
    groups_of,
    interval_of,
    proportion_of,
    score,
)
from tests.evaluation.worlds import make_predictions, perfect


def scored(predictions: Predictions, resamples: int = 200, seed: int = 5) -> Scores:
    return score(predictions, rng=np.random.default_rng(seed), resamples=resamples)


def intervals_of(scores: Scores) -> list[Interval]:
    each = [getattr(scores, name) for name in RESAMPLED]
    for one in scores.per_class.values():
        each += [one.precision, one.recall, one.f1]
    return each


def from_scikit_learn(predictions: Predictions) -> dict[str, float]:
    truth, said = predictions.truth, predictions.prediction
    present = np.unique(truth)
    every = np.arange(len(predictions.classes))
    with warnings.catch_warnings():
        # a class that is predicted and has no cell
        warnings.simplefilter("ignore", UserWarning)
        balanced = metrics.balanced_accuracy_score(truth, said)
    return {
        "balanced_accuracy": balanced,
        "weighted_f1": metrics.f1_score(truth, said, average="weighted", zero_division=0),
        "macro_f1": metrics.f1_score(truth, said, labels=present, average="macro", zero_division=0),
        "accuracy": metrics.accuracy_score(truth, said),
        "log_loss": metrics.log_loss(truth, predictions.probabilities, labels=every),
        "brier": metrics.brier_score_loss(
            truth, predictions.probabilities, labels=every, scale_by_half=False
        ),
    }


def without_class(predictions: Predictions, index: int) -> Predictions:
    return predictions.rows(predictions.truth != index)


WORLDS = {
    "good": make_predictions(),
    "poor": make_predictions(skill=0.3, seed=1),
    "few": make_predictions(15, seed=2),
    "no Vip/Lamp5": without_class(make_predictions(seed=3), 2),
    "two classes": make_predictions(seed=4, classes=("a", "b")),
    "sure and wrong": make_predictions(50, probabilities=np.eye(4)[np.arange(50) % 4]),
    "one class": make_predictions(40, truth=np.full(40, 3)),
}


@pytest.mark.parametrize("world", WORLDS)
def test_every_score_equals_scikit_learns(world: str) -> None:
    predictions = WORLDS[world]
    scores = scored(predictions, resamples=1)
    for name, wanted in from_scikit_learn(predictions).items():
        # sums of at most 300 rounded numbers
        assert getattr(scores, name).value == pytest.approx(wanted, abs=1e-12), name


@pytest.mark.parametrize("world", WORLDS)
def test_scores_of_each_class_and_the_confusion_equal_scikit_learns(world: str) -> None:
    predictions = WORLDS[world]
    scores = scored(predictions, resamples=1)
    every = np.arange(len(predictions.classes))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        predictions.truth, predictions.prediction, labels=every, zero_division=0
    )
    for index, one in enumerate(scores.per_class.values()):
        assert one.support == support[index]
        wanted = [precision[index], recall[index], f1[index]] if support[index] else [np.nan] * 3
        assert [one.precision.value, one.recall.value, one.f1.value] == pytest.approx(
            wanted, abs=1e-12, nan_ok=True
        )
    wanted_confusion = metrics.confusion_matrix(
        predictions.truth, predictions.prediction, labels=every
    )
    assert (scores.confusion == wanted_confusion).all()


def test_an_interval_equals_that_of_a_bootstrap_written_out() -> None:
    predictions = make_predictions(120, seed=8)
    scores = scored(predictions, resamples=4000)
    rng = np.random.default_rng(9)
    draws = []
    groups = [np.flatnonzero(predictions.truth == index) for index in range(4)]
    for _ in range(250):
        cells = np.concatenate([rng.choice(group, len(group)) for group in groups])
        # a resample holds cells twice, which predictions must not
        sample = make_predictions(
            120, truth=predictions.truth[cells], probabilities=predictions.probabilities[cells]
        )
        draws.append(from_scikit_learn(sample))
    for name in draws[0]:
        wanted = np.quantile([draw[name] for draw in draws], [0.025, 0.975])
        interval = getattr(scores, name)
        # the 2.5th percentile of 250 draws is uncertain by 4 % of the width; there are twelve
        assert [interval.low, interval.high] == pytest.approx(wanted, abs=0.15 * np.ptp(wanted))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """100 samples of one population: 95 in expectation, fewer than 87 once in a thousand times."""
    population = make_predictions(20_000, seed=30)
    wanted = scored(population, resamples=1).accuracy.value
    rng = np.random.default_rng(31)
    held = 0
    for _ in range(100):
        sample = population.rows(rng.choice(20_000, 200, replace=False))
        held += not score(sample, rng=rng, resamples=200).accuracy.excludes(wanted)
    assert held >= 87


@pytest.mark.parametrize("world", WORLDS)
def test_every_interval_contains_its_value(world: str) -> None:
    for interval in intervals_of(scored(WORLDS[world])):
        assert np.isnan(interval.value) or interval.low <= interval.value <= interval.high


def test_an_interval_reaches_to_a_value_that_its_resamples_leave_out() -> None:
    assert interval_of(0.1, np.array([0.2, 0.3])).low == 0.1


def test_a_perfect_classifier_scores_1() -> None:
    scores = scored(perfect(make_predictions()))
    sure = Interval(1.0, 1.0, 1.0)
    assert scores.balanced_accuracy == scores.weighted_f1 == scores.macro_f1 == sure
    assert all(one.f1 == sure for one in scores.per_class.values())
    assert scores.log_loss == scores.brier == Interval(0.0, 0.0, 0.0)
    assert scores.ece == CalibrationError(value=0.0, perfect_mean=0.0, perfect_high=0.0)


def test_the_order_of_the_cells_changes_nothing() -> None:
    predictions = make_predictions()
    shuffled = predictions.rows(np.random.default_rng(1).permutation(len(predictions)))
    assert scored(predictions).to_dict() == scored(shuffled).to_dict()


def test_the_same_generator_gives_the_same_intervals_and_another_one_others() -> None:
    predictions = make_predictions()
    assert scored(predictions).to_dict() == scored(predictions).to_dict()
    assert scored(predictions).accuracy != scored(predictions, seed=6).accuracy


def test_more_cells_narrow_the_interval() -> None:
    few, many = (scored(make_predictions(cells, seed=3)).accuracy for cells in (100, 1600))
    # 16 times the cells, a quarter of the width; both are estimates
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.35)


def test_2000_resamples_of_1118_cells_take_under_2_s() -> None:
    predictions = make_predictions(1118)
    start = time.perf_counter()
    scored(predictions, resamples=2000)
    # 0.15 s on one free core: other tests may run beside this one
    assert time.perf_counter() - start < 2.0


def test_blocks_of_resamples_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored(make_predictions(), resamples=50)
    monkeypatch.setattr("sts.evaluation.scores.RESAMPLE_BLOCK", 7 * 300)
    # products of blocks of other shapes round differently
    for one, other in zip(
        intervals_of(whole), intervals_of(scored(make_predictions(), resamples=50)), strict=True
    ):
        assert [other.low, other.high] == pytest.approx([one.low, one.high], abs=1e-12)


def test_an_absent_class_is_missing_and_said_to_be() -> None:
    scores = scored(WORLDS["no Vip/Lamp5"])
    missing = scores.per_class["Vip/Lamp5"]
    assert missing.support == 0
    assert np.isnan([missing.precision.low, missing.recall.value, missing.f1.high]).all()
    others = [scores.per_class[name].recall.value for name in CLASSES if name != "Vip/Lamp5"]
    assert scores.balanced_accuracy.value == pytest.approx(np.mean(others), abs=1e-12)
    assert any("no cell of class Vip/Lamp5" in note for note in scores.notes)


def test_a_class_that_is_never_predicted_is_said() -> None:
    predictions = make_predictions(30, probabilities=np.tile([1.0, 0, 0, 0], (30, 1)))
    scores = scored(predictions)
    assert any(
        note.startswith("never predicted: Excitatory, Vip/Lamp5, Sst;") for note in scores.notes
    )
    assert scores.per_class["Sst"].precision.value == 0.0


def test_a_class_of_few_cells_is_said_and_a_large_one_is_not() -> None:
    truth = np.repeat([0, 1, 2, 3], [30, 29, 1, 40])
    notes = scored(make_predictions(100, truth=truth)).notes
    assert (
        "few cells of class Excitatory (29), Vip/Lamp5 (1): their recall and precision have "
        "Wilson intervals, those of F1 and of means over classes are too narrow"
    ) in notes


def test_wilson_intervals_are_those_published() -> None:
    """Newcombe (1998), Statistics in Medicine 17, table I, method 3."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, cells), wanted in published.items():
        found = proportion_of(hits, cells)
        assert found.value == hits / cells
        # published to four digits
        assert [found.low, found.high] == pytest.approx(wanted, abs=5e-5)


def test_a_proportion_of_no_cell_says_nothing() -> None:
    assert proportion_of(0, 0) == Interval(0.0, 0.0, 1.0)


def test_proportions_of_few_cells_have_wilson_intervals_and_those_of_many_have_not() -> None:
    truth = np.repeat([0, 1, 2, 3], [29, 31, 50, 90])
    predictions = make_predictions(200, truth=truth, skill=1.5)
    scores = scored(predictions, resamples=2000)
    confusion = scores.confusion
    few, many = scores.per_class["Pvalb"], scores.per_class["Sst"]
    assert few.recall == proportion_of(int(confusion[0, 0]), 29)
    assert few.precision != proportion_of(int(confusion[0, 0]), int(confusion[:, 0].sum()))
    assert confusion[:, 0].sum() >= 30
    assert many.recall != proportion_of(int(confusion[3, 3]), 90)
    # both are intervals of the same proportion of 90 cells
    wanted = proportion_of(int(confusion[3, 3]), 90)
    assert [many.recall.low, many.recall.high] == pytest.approx([wanted.low, wanted.high], abs=0.03)


def test_the_accuracy_of_few_cells_is_a_proportion_of_few_cells() -> None:
    few = make_predictions(20, seed=3)
    right = int((few.prediction == few.truth).sum())
    assert scored(few).accuracy == proportion_of(right, 20)


def test_where_no_cell_is_wrong_the_interval_is_not_empty() -> None:
    """Drawing among cells that are all right never draws a wrong one."""
    scores = scored(perfect(make_predictions(200)))
    for one in scores.per_class.values():
        assert one.recall == proportion_of(one.support, one.support)
        assert one.recall.low < 1.0 == one.recall.high
    assert scores.accuracy == proportion_of(200, 200)


def test_the_calibration_error_stands_beside_that_of_perfect_calibration() -> None:
    predictions = make_predictions(200)
    error = scored(predictions).ece
    assert error.value == pytest.approx(
        reliability(predictions.probabilities, predictions.truth).ece, abs=1e-12
    )
    assert 0.0 < error.perfect_mean < error.perfect_high


def test_the_same_cells_have_one_fingerprint_whatever_is_said_of_them() -> None:
    predictions = make_predictions(60)
    other = make_predictions(60, noise=1)
    assert scored(predictions).fingerprint == scored(other).fingerprint
    assert scored(predictions).fingerprint != scored(predictions.rows(np.arange(59))).fingerprint


def test_donors_that_nobody_knows_change_nothing() -> None:
    predictions = make_predictions(80)
    unknown = replace(predictions, donor_id=np.full(80, ""))
    apart = replace(predictions, donor_id=predictions.specimen_id)
    assert scored(unknown).to_dict() == scored(predictions).to_dict()
    assert intervals_of(scored(apart)) == intervals_of(scored(predictions))
    assert "intervals draw whole donors: 80 donors, 0 cells of unknown donor" in scored(apart).notes


def test_resamples_that_miss_a_class_do_not_spoil_its_interval() -> None:
    """One of two donors holds the only Vip/Lamp5 cells: one resample in four has none."""
    truth = np.array([0] * 20 + [2] * 2 + [0] * 10 + [1] * 30)
    donors = np.array(["a"] * 22 + ["b"] * 10 + [f"d{row}" for row in range(30)])
    scores = scored(make_predictions(62, truth=truth, donor_id=donors))
    f1 = scores.per_class["Vip/Lamp5"].f1
    assert f1.low <= f1.value <= f1.high


def test_cells_of_unknown_class_change_no_score() -> None:
    predictions = make_predictions(50, seed=6)
    hidden = np.arange(50) >= 40
    with_unknown = make_predictions(
        50,
        seed=6,
        truth=np.where(hidden, -1, predictions.truth),
    )
    scores = scored(with_unknown)
    assert scores.cells == 40
    assert scores.notes[0] == "cells of unknown class that are left out: 10"
    assert intervals_of(scores) == intervals_of(scored(predictions.rows(~hidden)))


@pytest.mark.parametrize("cells", [0, 5])
def test_nothing_to_score_is_an_error(cells: int) -> None:
    with pytest.raises(StsError, match="no cell of known class"):
        scored(make_predictions(cells, truth=np.full(cells, -1)))


def test_each_data_set_stands_beside_the_pooled_figure() -> None:
    predictions = make_predictions()
    together = by_dataset(predictions, rng=np.random.default_rng(2), resamples=50)
    assert list(together) == [POOLED, "PatchClamp", "PatchSeq"]
    assert together[POOLED].cells == sum(
        scores.cells for name, scores in together.items() if name != POOLED
    )
    alone = predictions.rows(predictions.dataset == "PatchSeq")
    assert together["PatchSeq"].accuracy.value == scored(alone, resamples=1).accuracy.value


def test_the_only_data_set_has_the_pooled_intervals() -> None:
    predictions = make_predictions(60, dataset=np.full(60, "PatchSeq"))
    together = by_dataset(predictions, rng=np.random.default_rng(2), resamples=50)
    assert together[POOLED].to_dict() == together["PatchSeq"].to_dict()


def test_cells_of_unknown_origin_stand_alone_or_beside_the_others() -> None:
    assert list(groups_of(make_predictions(5, dataset=np.full(5, "")))) == [POOLED]
    some = np.array(["", "mine", "", "mine", "mine"])
    assert list(groups_of(make_predictions(5, dataset=some))) == [POOLED, "not known", "mine"]


def test_a_data_set_named_as_the_pooled_one_is_refused() -> None:
    with pytest.raises(StsError, match="rename it"):
        groups_of(make_predictions(2, dataset=np.array(["pooled", "mine"])))


def test_scores_become_a_report_and_intervals_come_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("report") / "report.json"
    scores = scored(WORLDS["no Vip/Lamp5"])
    write_json(path, scores.to_dict())
    report = json.loads(path.read_text(encoding="utf-8"))
    assert set(report) == {field.name for field in fields(Scores)}
    assert Interval.from_dict(report["balanced_accuracy"]) == scores.balanced_accuracy
    assert np.isnan(Interval.from_dict(report["per_class"]["Vip/Lamp5"]["f1"]).value)
    assert report["confusion"] == scores.confusion.tolist()


def test_an_interval_is_told_in_words() -> None:
    assert Interval(0.9123, 0.8934, 0.93).in_words() == "0.912 [0.893, 0.930]"
    assert Interval(np.nan, np.nan, np.nan).in_words() == "–"


def test_scores_of_a_benchmark_are_those_of_scikit_learn_over_the_labels_present() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    said = 0.99 * rng.dirichlet(np.ones(5), 200) + 0.002
    found = scores_of(said, truth, tuple("abcde"))
    predicted = said.argmax(axis=1)
    with warnings.catch_warnings():
        # It warns of the class that is predicted and never true.
        warnings.simplefilter("ignore", UserWarning)
        balanced = metrics.balanced_accuracy_score(truth, predicted)
    # The same sums in another order.
    close = {"rel": 1e-12}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted), **close)
    assert found["balanced_accuracy"] == pytest.approx(balanced, **close)
    macro = metrics.f1_score(truth, predicted, labels=[0, 1, 2, 3], average="macro")
    assert found["macro_f1"] == pytest.approx(macro, **close)
    assert found["log_loss"] == pytest.approx(
        metrics.log_loss(truth, said, labels=range(5)), **close
    )
    assert np.isnan(found["recall_e"])
