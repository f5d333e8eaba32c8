"""Two classifiers on the same cells."""

import json

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import write_json
from sts.evaluation.compare import Comparison, Difference, compare
from sts.evaluation.predictions import SCORES, Predictions
from sts.evaluation.scores import POOLED, Interval, score
from tests.evaluation.worlds import make_predictions, perfect


def compared(first: Predictions, second: Predictions, resamples: int = 200) -> Comparison:
    return compare(first, second, rng=np.random.default_rng(4), resamples=resamples)


def test_a_run_does_not_differ_from_itself() -> None:
    run = make_predictions()
    comparison = compared(run, run)
    assert list(comparison.groups) == [POOLED, "PatchClamp", "PatchSeq"]
    for group in comparison.groups.values():
        for difference in group.differences.values():
            if difference.score == "ece":
                assert group.calibration[0] == group.calibration[1]
                continue
            assert difference.difference == Interval(0.0, 0.0, 0.0)
            assert difference.verdict == "cannot tell"


def test_the_difference_is_that_of_the_scores() -> None:
    first, second = make_predictions(noise=1), make_predictions(noise=2)
    differences = compared(first, second).groups[POOLED].differences
    assert list(differences) == list(SCORES)
    alone = [score(run, rng=np.random.default_rng(), resamples=1) for run in (first, second)]
    for name, each in differences.items():
        # the same sums, taken over other blocks of memory
        assert [each.first, each.second] == pytest.approx(
            [getattr(scores, name).value for scores in alone], abs=1e-12
        )
        assert each.difference.value == each.second - each.first


def test_swapping_the_runs_turns_the_differences_around() -> None:
    first, second = make_predictions(noise=1), make_predictions(noise=2, skill=3.0)
    there, back = compared(first, second), compared(second, first)
    for name, each in there.groups["PatchSeq"].differences.items():
        other = back.groups["PatchSeq"].differences[name].difference
        # quantiles are interpolated from either end
        assert [-other.value, -other.high, -other.low] == pytest.approx(
            [each.difference.value, each.difference.low, each.difference.high],
            abs=1e-12,
            nan_ok=True,
        )


def test_the_interval_equals_that_of_a_paired_bootstrap_written_out() -> None:
    first, second = make_predictions(100, noise=1), make_predictions(100, noise=2)
    right = [(run.prediction == run.truth).astype(float) for run in (first, second)]
    gaps = right[1] - right[0]
    groups = [gaps[first.truth == index] for index in range(4)]
    rng = np.random.default_rng(7)
    draws = [
        np.concatenate([rng.choice(group, len(group)) for group in groups]).mean()
        for _ in range(4000)
    ]
    found = compared(first, second, resamples=4000).groups[POOLED].differences["accuracy"]
    # accuracies of 100 cells move in steps of 0.01
    assert [found.difference.low, found.difference.high] == pytest.approx(
        np.quantile(draws, [0.025, 0.975]), abs=0.011
    )


def test_pairing_sees_what_two_intervals_do_not() -> None:
    """The second errs where the first does, and on one cell in fifty less."""
    first = make_predictions(1000, skill=2.0)
    wrong = np.flatnonzero(first.prediction != first.truth)[:20]
    probabilities = first.probabilities.copy()
    probabilities[wrong] = np.eye(4)[first.truth[wrong]]
    second = make_predictions(1000, probabilities=probabilities)
    apart = [score(run, rng=np.random.default_rng(1), resamples=200) for run in (first, second)]
    assert apart[0].accuracy.high > apart[1].accuracy.low
    assert compared(first, second).groups[POOLED].differences["accuracy"].verdict == "second"


def test_the_better_one_is_named_also_where_less_is_better() -> None:
    run = make_predictions(skill=1.0)
    for group in compared(run, perfect(run)).groups.values():
        verdicts = {name: each.verdict for name, each in group.differences.items()}
        assert verdicts.pop("ece") == "no verdict"
        assert set(verdicts.values()) == {"second"}
    for group in compared(perfect(run), run).groups.values():
        verdicts = {name: each.verdict for name, each in group.differences.items()}
        assert verdicts.pop("ece") == "no verdict"
        assert set(verdicts.values()) == {"first"}


def test_the_order_of_the_cells_changes_nothing() -> None:
    first, second = make_predictions(noise=1), make_predictions(noise=2)
    shuffled = second.rows(np.random.default_rng(1).permutation(len(second)))
    assert compared(first, shuffled) == compared(first, second)


def test_only_common_cells_count_and_the_others_are_named() -> None:
    run, better = make_predictions(40, noise=1), make_predictions(40, noise=2)
    comparison = compared(run.rows(np.arange(35)), better.rows(np.arange(5, 40)))
    assert comparison.cells == 30
    assert comparison.only_first == tuple(sorted(run.specimen_id[:5]))
    assert comparison.only_second == tuple(sorted(run.specimen_id[35:]))
    both = np.arange(5, 35)
    assert comparison.groups == compared(run.rows(both), better.rows(both)).groups


def test_what_only_one_run_knows_serves_both() -> None:
    run, other = make_predictions(30), make_predictions(30, noise=2)
    blind = make_predictions(30, dataset=np.full(30, ""), truth=np.full(30, -1))
    assert compared(blind, other).groups == compared(run, other).groups
    assert compared(run, blind).cells == 30


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"truth": np.array([1, 1, 2])}, "class of 1 cells, the first is specimen b"),
        ({"dataset": np.array(["x", "x", "y"])}, "data set of 1 cells, the first is specimen c"),
        ({"specimen_id": np.array(["d", "e", "f"])}, "no cell of known class in common"),
        ({"classes": ("p", "q", "r", "s")}, "do not have the same classes"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(changed: dict[str, object], words: str) -> None:
    same = {
        "specimen_id": np.array(["a", "b", "c"]),
        "truth": np.array([1, 0, 2]),
        "dataset": np.array(["x", "x", "x"]),
    }
    with pytest.raises(StsError, match=words):
        compared(make_predictions(3, **same), make_predictions(3, **{**same, **changed}))


def test_what_limits_a_score_limits_its_difference() -> None:
    groups = compared(make_predictions(25), make_predictions(25, noise=2)).groups
    assert any(note.startswith("few cells of class") for note in groups[POOLED].notes)


def test_a_comparison_becomes_a_report(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("report") / "compare.json"
    run = make_predictions(skill=1.0)
    write_json(path, compared(run, perfect(run)).to_dict())
    report = json.loads(path.read_text(encoding="utf-8"))
    told = report["groups"][POOLED]["differences"]["log_loss"]
    assert told["verdict"] == "second"
    assert told["difference"]["value"] == told["second"] - told["first"] < 0


def test_the_calibration_error_has_no_interval_and_no_verdict() -> None:
    """However different both are: resampling adds to the error of either."""
    sure = make_predictions(400, skill=2.0)
    comparison = compared(sure, make_predictions(400, skill=2.0, probabilities=hardened(sure)))
    pooled = comparison.groups[POOLED]
    gap = pooled.differences["ece"]
    assert gap.difference.value == gap.second - gap.first
    assert np.isnan([gap.difference.low, gap.difference.high]).all()
    assert gap.verdict == "no verdict"
    assert [each.value for each in pooled.calibration] == pytest.approx(
        [gap.first, gap.second], abs=1e-12
    )
    assert all(each.perfect_mean < each.perfect_high for each in pooled.calibration)


def hardened(predictions: Predictions) -> np.ndarray:
    """Return probabilities that are much too sure of the same classes."""
    odds = predictions.probabilities**4
    return odds / odds.sum(axis=1, keepdims=True)


def test_a_comparison_says_on_which_cells() -> None:
    first, second = make_predictions(50, noise=1), make_predictions(50, noise=2)
    comparison = compared(first, second)
    assert comparison.fingerprint == first.fingerprint() == second.fingerprint()
    assert compared(first.rows(np.arange(49)), second).fingerprint != comparison.fingerprint
    for name, group in comparison.groups.items():
        here = first.truth if name == POOLED else first.truth[first.dataset == name]
        assert list(group.classes.values()) == np.bincount(here, minlength=4).tolist()
        assert group.cells == len(here)


def test_donors_are_drawn_for_both_runs_together() -> None:
    """Differences that all cells of a donor share tell as little as its one donor."""
    donors = np.repeat(np.arange(30), 10).astype(str)
    truth = np.repeat(np.arange(30) % 4, 10)
    first, second = (make_predictions(300, truth=truth, noise=noise) for noise in (1, 2))
    flipped = np.repeat(np.arange(30) % 3 == 0, 10)[:, None]
    mixed = np.where(flipped, first.probabilities, np.eye(4)[truth])
    second = make_predictions(300, truth=truth, probabilities=mixed, donor_id=donors)
    blind = make_predictions(300, truth=truth, probabilities=mixed)
    widths = [
        np.subtract(each.high, each.low)
        for each in (
            compared(first, run).groups[POOLED].differences["accuracy"].difference
            for run in (blind, second)
        )
    ]
    assert widths[1] > 1.3 * widths[0]


def test_a_missing_difference_tells_nothing() -> None:
    nothing = Interval(np.nan, np.nan, np.nan)
    assert Difference("accuracy", np.nan, np.nan, nothing).verdict == "cannot tell"
