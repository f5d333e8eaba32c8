"""Normal scores of ranks fill what is missing by what else is known of the cell."""

import numpy as np
import pytest
from scipy.stats import norm

from sts.base.types import Floats
from sts.tabular.gaussian_scores import GaussianScores

CORRELATION = 0.8


def draw(count: int, seed: int) -> Floats:
    """Return cells of two correlated features, one of them with a long tail, and one without."""
    covariance = [[1.0, CORRELATION, 0.0], [CORRELATION, 1.0, 0.0], [0.0, 0.0, 1.0]]
    points = np.random.default_rng(seed).multivariate_normal(np.zeros(3), covariance, size=count)
    return np.column_stack([points[:, 0], np.exp(points[:, 1]), points[:, 2]])


X = draw(3000, 0)


def test_scores_are_normal_and_keep_the_order() -> None:
    found = GaussianScores().fit_transform(X)
    assert np.array_equal(np.argsort(found[:, 0])[500:-500], np.argsort(X[:, 0])[500:-500])
    levels = np.array([0.1, 0.5, 0.9])
    # The standard error of these quantiles of 3,000 cells is below 0.04.
    assert np.allclose(np.quantile(found, levels, axis=0).T, norm.ppf(levels), atol=0.1)


def test_a_missing_value_is_its_mean_given_the_others() -> None:
    scores = GaussianScores().fit(X)
    known = np.array([[1.5, np.nan, 0.3], [-1.5, np.nan, 0.3]])
    found = scores.transform(known)
    # Less than a tenth is lost by the nugget, the rest is the error of quantiles.
    assert np.allclose(found[:, 1], CORRELATION * known[:, 0], atol=0.15)


def test_covariance_is_estimated_where_half_of_the_values_are_missing() -> None:
    holes = X.copy()
    holes[::2, 1] = np.nan
    found = GaussianScores().fit(holes).covariance_
    whole = GaussianScores().fit(X).covariance_
    # The nugget and the few rounds take a part of the correlation.
    assert np.allclose(found, whole, atol=0.1)
    filled_by_means = np.where(np.isnan(holes), 0.0, GaussianScores().fit_transform(X))
    assert np.cov(filled_by_means.T)[0, 1] < found[0, 1] - 0.2


@pytest.mark.parametrize("lacking", [slice(0, 3), slice(1, 2)])
def test_a_cell_or_a_feature_without_any_value_has_a_score(lacking: slice) -> None:
    holes = X[:200].copy()
    holes[:, 2] = np.nan
    scores = GaussianScores().fit(holes)
    cell = X[:1].copy()
    cell[:, lacking] = np.nan
    found = scores.transform(cell)
    assert np.isfinite(found).all()
    assert found[0, 2] == 0.0
