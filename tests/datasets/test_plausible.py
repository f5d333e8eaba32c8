"""Plausible ranges hold real cells and catch another unit and another moment to count from."""

from pathlib import Path

import numpy as np
import pytest

from sts.datasets.ep_tables import find_ep_tables, load_ep_tables, with_onsets
from sts.datasets.plausible import RANGES, ranges
from sts.signals.features import FEATURES, TIMES


def test_every_feature_has_a_range_with_a_reason() -> None:
    found = ranges()
    assert tuple(found) == FEATURES
    for name, bounds in found.items():
        assert bounds.low < bounds.high, name
        assert bounds.reason, name
        assert bounds.unit == "s" or name not in TIMES


def test_every_line_of_the_table_is_of_use() -> None:
    reasons = {bounds.reason for bounds in ranges().values()}
    lines = RANGES.read_text(encoding="utf-8").splitlines()[1:]
    assert len(lines) == len({line.split(",")[0] for line in lines})
    assert len(reasons) == len(lines)


@pytest.mark.data
def test_real_cells_lie_inside_and_a_wrong_unit_outside(data_dir: Path) -> None:
    table = load_ep_tables(find_ep_tables(data_dir / "sts" / "data"))
    absolute = with_onsets(table).columns()
    for name, values in table.columns().items():
        bounds, known = ranges()[name], values[np.isfinite(values)]
        outside = (known < bounds.low) | (known > bounds.high)
        # the worst is slow_trough_t_short_square, of cells that fire before the onset: 9 of 622
        assert outside.mean() < 0.02, name
        wrong = known / 1000
        if name in TIMES and name.endswith("_short_square") and "trough_t_s" not in name:
            wrong = absolute[name][np.isfinite(values)]
        if bounds.low > 0 and not name.startswith(("upstroke", "threshold_i_short")):
            assert np.mean((wrong < bounds.low) | (wrong > bounds.high)) > 0.9, name
