"""Where the published tables have the onset of each stimulus, read off their own values."""

from pathlib import Path

import numpy as np
import pytest

from sts.base.files import read_csv
from sts.base.types import Floats
from sts.signals.feature_names import PUBLISHED_ONSET_S

RAMP_PA_PER_S = 25.0
SHORT_SQUARE_S = 0.003


@pytest.fixture(params=sorted(PUBLISHED_ONSET_S))
def dataset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def column(data_dir: Path, dataset: str, name: str) -> Floats:
    rows = read_csv(data_dir / "sts" / "data" / "Split" / f"{dataset}_EP_features.csv", [name])
    return np.array([float(row[name] or "nan") for row in rows])


@pytest.mark.data
def test_ramps_begin_where_long_squares_do(data_dir: Path, dataset: str) -> None:
    times_s = column(data_dir, dataset, "threshold_t_ramp")
    onset_s = times_s - column(data_dir, dataset, "threshold_i_ramp") / RAMP_PA_PER_S
    # 0.4975 and 1.0200 s: a current is stored in steps of 0.125 pA, which is 5 ms of the ramp
    assert np.nanmedian(onset_s) == pytest.approx(PUBLISHED_ONSET_S[dataset], abs=0.005)


@pytest.mark.data
def test_short_squares_begin_where_long_squares_do(data_dir: Path, dataset: str) -> None:
    times_s = column(data_dir, dataset, "threshold_t_short_square")
    early, usual = np.nanpercentile(times_s, [5, 50])
    onset_s = PUBLISHED_ONSET_S[dataset]
    # cells reach threshold while the step of 3 ms lasts, or just after it
    assert onset_s < early <= usual < onset_s + SHORT_SQUARE_S + 0.001


@pytest.mark.data
def test_no_long_square_fires_before_its_onset(data_dir: Path, dataset: str) -> None:
    times_s = column(data_dir, dataset, "threshold_t_long_square")
    onset_s = PUBLISHED_ONSET_S[dataset]
    assert onset_s < np.nanmin(times_s) < onset_s + 0.01
    assert np.nanmax(times_s) < onset_s + 1.0
