"""Cells far from all classes, and cells between them, are unlike."""

import numpy as np
from scipy.spatial.distance import mahalanobis
from sklearn.utils.estimator_checks import parametrize_with_checks

from sts.evaluation.abstention import false_alarms
from sts.tabular.class_distance import ClassDistance, unlike_scores

RNG = np.random.default_rng(0)
y = np.repeat([0, 1, 2], 300)
X = RNG.normal(size=(900, 6)) + 4.0 * np.eye(6)[y]
FITTED = ClassDistance().fit(X[::2], y[::2])
KNOWN = FITTED.transform(X[1::2])


@parametrize_with_checks([ClassDistance()])
def test_scikit_learns_own_checks(estimator, check) -> None:  # type: ignore[no-untyped-def]
    state = np.random.get_state()  # noqa: NPY002
    check(estimator)
    if check.func.__name__ == "check_methods_sample_order_invariance":
        # It is the check that shuffles by numpy's global generator.
        np.random.set_state(state)  # noqa: NPY002


def test_the_distance_is_that_of_mahalanobis_to_the_nearest_mean() -> None:
    points = FITTED.scores_.transform(X[1:40:2])
    expected = [
        min(mahalanobis(point, mean, FITTED.precision_) ** 2 for mean in FITTED.means_)
        for point in points
    ]
    assert np.allclose(KNOWN[:20, 0], expected)


def test_a_cell_between_classes_is_in_doubt_and_one_elsewhere_is_far() -> None:
    between = RNG.normal(size=(200, 6)) * 0.3 + 2.0 * (np.eye(6)[0] + np.eye(6)[1])
    elsewhere = RNG.normal(size=(200, 6)) + 3.0 * np.eye(6)[5] + 3.0 * np.eye(6)[4]
    assert np.median(FITTED.transform(between)[:, 1]) > np.quantile(KNOWN[:, 1], 0.95)
    assert np.median(FITTED.transform(elsewhere)[:, 0]) > np.quantile(KNOWN[:, 0], 0.95)


def test_both_together_find_a_class_that_was_left_out() -> None:
    fitted = ClassDistance().fit(X[::2][y[::2] != 2], y[::2][y[::2] != 2])
    known, unlike = (fitted.transform(X[1::2][side]) for side in (y[1::2] != 2, y[1::2] == 2))
    alarms = false_alarms(unlike_scores(known, known), unlike_scores(unlike, known))
    # Four deviations in one feature of six.
    assert alarms < 0.25


def test_scores_are_ranks_among_known_cells() -> None:
    known = np.array([[1.0, 0.1], [2.0, 0.2], [3.0, 0.3], [4.0, 0.4]])
    cells = np.array([[0.5, 0.05], [2.5, 0.5], [9.0, 0.9]])
    assert np.allclose(unlike_scores(cells, known), [0.0, 0.5 + 1.0, 2.0])


def test_missing_values_count_as_the_median() -> None:
    holes = X[1::2].copy()
    holes[:, 5] = np.nan
    filled = X[1::2].copy()
    filled[:, 5] = np.median(X[::2, 5])
    assert np.allclose(FITTED.transform(holes), FITTED.transform(filled))
