"""Rates and covariances come out as asked; what cannot be had is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from sts.base.errors import StsError
from sts.calcium import dichotomised
from sts.calcium.dichotomised import (
    SpikeStatistics,
    compute_excess,
    dichotomised_gaussian,
    draw_statistics,
    find_nearest_correlation,
    measure_spike_statistics,
    read_statistics,
    solve_correlation,
)
from sts.studies.calcium.ground_truth import describe_truth

RATE_HZ = 24.0


def two(covariance: float, *, chances: tuple[float, float] = (0.1, 0.2)) -> SpikeStatistics:
    return SpikeStatistics(
        rates_hz=np.array(chances) * RATE_HZ,
        covariances=np.array([[0.09, covariance], [covariance, 0.16]]),
        rate_hz=RATE_HZ,
    )


@pytest.mark.parametrize("correlation", [-0.999, -0.6, 0.0, 0.3, 0.95, 0.9999])
def test_the_excess_is_that_of_scipys_bivariate_normal(correlation: float) -> None:
    for first, second in ((-1.5, -1.0), (-2.0, -2.001), (0.3, -0.2), (-1.6, -1.6)):
        normal = multivariate_normal(cov=[[1, correlation], [correlation, 1]])
        joint = normal.cdf([first, second])
        found = compute_excess(*(np.array([x]) for x in (first, second, correlation)))
        # scipy's own integration is good to about 1e-8 for nearly singular matrices
        assert found[0] == pytest.approx(joint - ndtr(first) * ndtr(second), abs=1e-8)


def test_solving_undoes_the_excess() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(-2.5, 0.5, (2, 500))
    correlation = rng.uniform(-0.6, 0.98, 500)
    excess = compute_excess(first, second, correlation)
    found = solve_correlation(first, second, excess)
    # the excess itself is kept; where it hardly depends on the correlation that one is free
    assert np.abs(compute_excess(first, second, found) - excess).max() < 1e-12
    steep = compute_excess(first, second, correlation + 1e-4) - excess > 1e-7
    assert steep.sum() > 200
    # what stopping at 1e-12 of the excess leaves, over a slope of 1e-3
    assert np.abs(found - correlation)[steep].max() < 1e-6


def test_an_excess_at_the_bound_needs_perfect_correlation() -> None:
    # two neurons of equal rate may always fire together
    statistics = two(0.1 * 0.9, chances=(0.1, 0.1))
    matrix = dichotomised_gaussian(statistics).latent.matrix
    # the slope is without bound there: half of the digits of a float64 are kept
    assert matrix[0, 1] == pytest.approx(1.0, abs=1e-6)


def test_rates_and_covariances_are_met_within_sampling_error() -> None:
    rng = np.random.default_rng(1)
    gaussian = dichotomised_gaussian(draw_statistics(40, rng, rate_hz=RATE_HZ, correlation=0.5))
    assert gaussian.latent.distance < 1e-6  # drawn ones are attainable: nothing is to be moved
    told = describe_truth(gaussian, gaussian.sample(400_000, rng))
    # the rarest neuron has about 4,000 spikes: three standard errors are 5 %
    assert told["largest_rate_error"] < 0.05
    # 780 pairs that share neurons: the mean of z strays by several times 1 / sqrt(780)
    assert abs(told["covariance_z_mean"]) < 0.35
    assert 0.8 < told["covariance_z_deviation"] < 1.2


def test_the_data_covariance_is_not_the_latent_one() -> None:
    """The mistake of the published code: taken for latent, a correlation shrinks to its third."""
    rng = np.random.default_rng(2)
    statistics = two(0.03)
    latent = dichotomised_gaussian(statistics).latent.matrix[0, 1]
    data = 0.03 / np.sqrt(0.09 * 0.16)
    assert latent > 1.5 * data
    spikes = dichotomised_gaussian(statistics).sample(200_000, rng)
    # standard error about 0.0003
    assert measure_spike_statistics(spikes, rate_hz=RATE_HZ).covariances[0, 1] == pytest.approx(
        0.03, abs=0.0015
    )


def test_a_pair_beyond_its_frechet_bound_is_named() -> None:
    with pytest.raises(StsError, match=r"neurons 0 and 1 ask for 0.09, attainable is 0.08"):
        dichotomised_gaussian(two(0.09))
    with pytest.raises(StsError, match=r"attainable is -0.02"):
        dichotomised_gaussian(two(-0.021))


def test_clipping_moves_a_pair_to_its_bound() -> None:
    gaussian = dichotomised_gaussian(two(0.09), clip=True)
    (moved,) = gaussian.beyond
    assert (moved.first, moved.second, moved.asked) == (0, 1, 0.09)
    assert moved.attainable == pytest.approx(0.08, abs=1e-15)


def test_memory_keeps_rates_and_correlates_frames() -> None:
    rng = np.random.default_rng(3)
    statistics = two(0.03)
    plain = dichotomised_gaussian(statistics).sample(100_000, rng)
    remembered = dichotomised_gaussian(statistics, memory_s=0.2).sample(100_000, rng)
    # a fifth of a second is 5 frames: about 10,000 independent ones are left
    assert remembered.mean(axis=1) == pytest.approx([0.1, 0.2], rel=0.1)
    together = np.corrcoef(remembered[0], remembered[1])[0, 1]
    assert together == pytest.approx(0.25, abs=0.05)  # 0.03 / sqrt(0.09 * 0.16)
    assert abs(np.corrcoef(plain[0, 1:], plain[0, :-1])[0, 1]) < 0.02
    assert np.corrcoef(remembered[0, 1:], remembered[0, :-1])[0, 1] > 0.3


def test_errors_are_in_units_of_chance_with_memory_too() -> None:
    rng = np.random.default_rng(8)
    asked = draw_statistics(20, rng, rate_hz=RATE_HZ, mean_hz=4.0, correlation=0.5)
    gaussian = dichotomised_gaussian(asked, memory_s=0.6)
    told = describe_truth(gaussian, gaussian.sample(300_000, rng))
    # 190 pairs that share neurons; of all frames, most of them alike, it would be 2.3
    assert 0.75 < told["covariance_z_deviation"] < 1.25


def test_bounds_are_reached_without_a_warning() -> None:
    rng = np.random.default_rng(9)
    drawn = draw_statistics(30, rng, rate_hz=RATE_HZ, correlation=0.5)
    for covariances in drawn.bounds():
        np.fill_diagonal(covariances, 0.0)
        asked = SpikeStatistics(rates_hz=drawn.rates_hz, covariances=covariances, rate_hz=RATE_HZ)
        latent = dichotomised_gaussian(asked).latent
        assert np.isfinite(latent.matrix).all()


def test_blocks_make_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussian = dichotomised_gaussian(two(0.03), memory_s=0.2)
    monkeypatch.setattr(dichotomised, "FRAMES_AT_ONCE", 4)
    train = gaussian.sample(40_000, np.random.default_rng(4))[0].astype(float)
    ends = np.arange(3, 39_999, 4)
    across = np.corrcoef(train[ends], train[ends + 1])[0, 1]
    within = np.corrcoef(train[ends - 1], train[ends])[0, 1]
    # 10,000 pairs of a correlation of a half: a standard error of 0.01 and some for memory
    assert across == pytest.approx(within, abs=0.05)


def test_one_seed_gives_one_population() -> None:
    gaussian = dichotomised_gaussian(two(0.03))
    same = [gaussian.sample(1000, np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(*same)


def test_the_nearest_correlation_matrix_is_a_known_one() -> None:
    # the example of Higham (2002), section 4
    matrix = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    found = find_nearest_correlation(matrix)
    # four digits are printed there
    assert found.matrix[0, 1] == pytest.approx(0.7607, abs=1e-4)
    assert found.matrix[0, 2] == pytest.approx(0.1573, abs=1e-4)
    assert found.distance == pytest.approx(0.5278, abs=1e-4)
    assert np.linalg.eigvalsh(found.matrix)[0] > 0
    assert np.allclose(np.diag(found.matrix), 1.0)


def test_a_matrix_that_is_one_already_stays() -> None:
    matrix = np.array([[1.0, 0.5], [0.5, 1.0]])
    assert find_nearest_correlation(matrix).matrix is matrix


def test_measuring_a_population_gives_what_it_was_made_with() -> None:
    rng = np.random.default_rng(6)
    asked = draw_statistics(5, rng, rate_hz=RATE_HZ, correlation=0.5)
    found = measure_spike_statistics(
        dichotomised_gaussian(asked).sample(300_000, rng), rate_hz=RATE_HZ
    )
    again = dichotomised_gaussian(found)  # measured statistics are attainable
    assert not again.beyond
    assert found.rates_hz == pytest.approx(asked.rates_hz, rel=0.05)  # three standard errors


def test_statistics_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "asked.json"
    path.write_text(json.dumps({"rates_hz": [2.4, 4.8], "correlations": [[1, 0.25], [0.25, 1]]}))
    found = read_statistics(path, rate_hz=RATE_HZ)
    assert found.covariances[0, 1] == pytest.approx(0.25 * np.sqrt(0.09 * 0.16))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rates_hz": [2.0]}, "at least 2 neurons|covariances or correlations|correlations"),
        ({"rates_hz": [2.0, 30.0], "covariances": [[0, 0], [0, 0]]}, "neuron 1 has 30 Hz"),
        ({"rates_hz": [2.0, 3.0], "covariances": [[0, 0]]}, "are 2 x 2 numbers, not 1 x 2"),
        ({"rates_hz": [2.0, 3.0], "covariances": [[0, 0.1], [0, 0]]}, "must be symmetric"),
        ({"rates": [2.0]}, "has no rates_hz"),
    ],
)
def test_statistics_that_make_no_sense_are_refused(
    tmp_path: Path, values: dict[str, object], said: str
) -> None:
    path = tmp_path / "asked.json"
    path.write_text(json.dumps(values))
    with pytest.raises(StsError, match=said):
        read_statistics(path, rate_hz=RATE_HZ)


def test_a_silent_neuron_has_no_statistics() -> None:
    with pytest.raises(StsError, match="1 neurons have no spike, the first is 1"):
        measure_spike_statistics(np.array([[0, 1, 0], [0, 0, 0]]), rate_hz=RATE_HZ)
