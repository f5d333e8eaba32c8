"""A protocol without a stimulus lacks the features that need it, derived ones too."""

import numpy as np
import pytest

from sts.datasets.feature_sets import feature_names
from sts.datasets.formulas import derive
from sts.datasets.stimuli import (
    PASSIVE,
    PROTOCOLS,
    protocol_mask,
    protocol_masks,
    without_indicators,
)
from sts.signals.feature_names import FEATURES
from tests.datasets.ep_worlds import make_values

NAMES = without_indicators(feature_names("engineered"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mask_hides_what_cannot_be_computed_without_the_stimulus(protocol: str) -> None:
    X = make_values(30)
    for stimulus in PROTOCOLS[protocol]:
        gone = [
            name in PASSIVE if stimulus == "subthreshold" else name.endswith(f"_{stimulus}")
            for name in FEATURES
        ]
        X[:, gone] = np.nan
    columns = dict(zip(FEATURES, X.T, strict=True))
    columns |= derive(columns)
    lost = np.array([np.isnan(columns[name]).all() for name in NAMES])
    assert np.array_equal(protocol_mask(NAMES, protocol), lost)


def test_every_protocol_has_its_mask_and_leaves_something() -> None:
    masks = protocol_masks(NAMES)
    assert masks.shape == (len(PROTOCOLS), len(NAMES))
    assert len(np.unique(masks, axis=0)) == len(PROTOCOLS)
    assert masks.any(axis=1).all()
    assert not masks.all(axis=1).any()


def test_no_indicator_of_missing_values_is_left() -> None:
    assert [name for name in feature_names("engineered") if name not in NAMES] == [
        "missing_slow_trough_long_square",
        "missing_slow_trough_short_square",
        "missing_slow_trough_ramp",
        "missing_adaptation",
        "missing_ramp",
    ]
