"""What the time series of both NWB versions say of rate, unit and holding current."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5py

from sts.base import guard
from sts.base.types import Floats
from sts.recordings.pairing import Series
from sts.recordings.traces import Unusable, factor, scaled, usable_rate_hz

# Amplifiers hold a cell with at most this much; more is in another unit than amperes.
MAX_BIAS_PA: Final = 1e4


def rates_hz(response: Series, stimulus: Series) -> float:
    """Return the one sampling rate of a sweep."""
    rate_hz, other_hz = _rate_hz(response), _rate_hz(stimulus)
    if not math.isclose(rate_hz, other_hz, rel_tol=1e-6):
        raise Unusable(
            f"its response is sampled at {rate_hz:g} Hz, its stimulus at {other_hz:g} Hz"
        )
    return rate_hz


def _rate_hz(one: Series) -> float:
    start = guard.member(one.group, "starting_time")
    rate_hz = None if start is None else guard.number(start, "rate")
    if rate_hz is None:
        raise Unusable("it has no sampling rate")
    return usable_rate_hz(rate_hz)


def trace(
    one: Series,
    units: Mapping[str, float],
    *,
    what: str,
    converted: bool = True,
    end: int | None = None,
) -> Floats:
    """Return the samples of a time series up to `end`.

    Parameters
    ----------
    one
        The time series.
    units
        What each unit is multiplied by.
    what
        `response` or `stimulus`.
    converted
        Whether the factor and the offset beside the data hold.
    end
        Where to stop reading.
    """
    data = guard.member(one.group, "data")
    if data is None:
        raise Unusable(f"its {what} holds no data")
    conversion, offset = guard.number(data, "conversion"), guard.number(data, "offset")
    return scaled(
        guard.read_trace(data, end=end),
        per_unit=factor(guard.text(data, "unit"), units, what=what),
        conversion=1.0 if conversion is None or not converted else conversion,
        offset=(offset or 0.0) if converted else 0.0,
    )


def bias_pa(response: Series) -> float:
    """Return the holding current of the amplifier."""
    bias_a = guard.number(response.group, "bias_current")
    # MIES writes NaN where the amplifier held no current.
    bias_pa = 0.0 if bias_a is None or math.isnan(bias_a) else bias_a * 1e12
    if abs(bias_pa) > MAX_BIAS_PA:
        raise Unusable(f"its bias_current of {bias_a:g} A is no holding current")
    return bias_pa


def id_in(file: Any, place: str, name: str) -> str:
    """Return the text kept under `name` in a group of the file, "" where there is none."""
    group = guard.follow(file, place)
    return guard.text(group, name) if isinstance(group, h5py.Group) else ""


def id_of_name(path: Path, key: str) -> str:
    """Return what a file name of DANDI says, as in sub-599387254_ses-601506492_icephys.nwb."""
    found = re.search(rf"(?:^|_){key}-([^_]+)", path.stem)
    return found[1] if found else ""
