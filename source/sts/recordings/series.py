"""The time series of NWB files: the stimulus of each response, and their samples."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import h5py
import numpy as np

from sts.base import guard
from sts.base.types import Floats
from sts.recordings.gather import Unusable, factor, scale, usable_rate_hz

# Largest holding current of an amplifier; a larger value is in another unit than amperes.
MAX_BIAS_PA: Final = 1e4
# The table of recordings: a row for each response and its stimulus.
_TABLE: Final = "general/intracellular_ephys/intracellular_recordings"
# Its column of the amplitudes that the source of a converted file states.
STATED_PA: Final = "stated_amplitude_pa"


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One time series of the file, without its data."""

    name: str
    kind: str
    group: Any
    number: int | None
    electrode: Hashable

    @property
    def full_name(self) -> str:
        """Return its name in messages."""
        return self.name if self.number is None else f"sweep {self.number} ({self.name})"


def series_in(file: Any, place: str) -> list[Series]:
    """Return the time series of all types in a group of the file."""
    group = guard.follow(file, place)
    if not isinstance(group, h5py.Group):
        return []
    nodes = ((name, guard.member(group, name)) for name in group)
    return [_make_series(name, node) for name, node in nodes if isinstance(node, h5py.Group)]


def _make_series(name: str, group: Any) -> Series:
    number = guard.number(group, "sweep_number")
    electrode = guard.member(group, "electrode")
    return Series(
        name=name,
        kind=guard.text(group, "neurodata_type"),
        group=group,
        number=None if number is None or not math.isfinite(number) else int(number),
        electrode=None if electrode is None else electrode.id,
    )


@dataclass(frozen=True, kw_only=True)
class SweepExperiment:
    """What the table of recordings says about a sweep besides its stimulus."""

    begin: int = 0
    """The first sample of the response that belongs to the recording."""
    stated_pa: float | None = None
    """The amplitude that the source of a converted file states."""


def read_experiments(file: Any) -> dict[Hashable, SweepExperiment]:
    """Return what the table of recordings of the file says about each response, by its id."""
    table = guard.follow(file, _TABLE)
    column = guard.follow(table, "responses/response")
    responses = _references(file, column)
    fields = column.dtype.fields if responses else {}
    if "idx_start" not in fields or fields["idx_start"][0].kind not in "iu":
        return {}
    stated = guard.follow(table, f"stimuli/{STATED_PA}")
    amplitudes = guard.array(stated).ravel() if isinstance(stated, h5py.Dataset) else np.empty(0)
    begins = column["idx_start"].tolist()
    return {
        response: SweepExperiment(
            begin=max(int(begin), 0),
            stated_pa=float(amplitude) if math.isfinite(amplitude) else None,
        )
        for response, begin, amplitude in zip_longest(
            responses, begins, amplitudes[: len(responses)], fillvalue=math.nan
        )
        if response
    }


def read_links(file: Any) -> dict[Hashable, Hashable]:
    """Return the stimulus of each response in the table of recordings of the file, by their ids."""
    table = guard.follow(file, _TABLE)
    if not isinstance(table, h5py.Group):
        return {}
    responses = _references(file, guard.follow(table, "responses/response"))
    stimuli = _references(file, guard.follow(table, "stimuli/stimulus"))
    pairs = set(zip(responses, stimuli, strict=False))
    times = Counter(response for response, _ in pairs)
    return {one: other for one, other in pairs if one and other and times[one] == 1}


def _references(file: Any, column: Any) -> list[Hashable]:
    if not isinstance(column, h5py.Dataset) or "timeseries" not in (column.dtype.names or ()):
        return []
    guard.check_claim(column)
    return [file[one].id if one else None for one in column["timeseries"]]


def pair_series(
    responses: list[Series], stimuli: list[Series], table: dict[Hashable, Hashable]
) -> dict[str, Series]:
    """Return the stimulus of each response, by the most reliable information in the file.

    Parameters
    ----------
    responses, stimuli
        Time series of the file.
    table
        The stimulus of a response, as `read_links` returns it.
    """
    by_id = {one.group.id: one for one in stimuli}
    pairs = {
        one.name: by_id[table[one.group.id]]
        for one in responses
        if table.get(one.group.id) in by_id
    }
    for sign in SIGNS:
        taken = {stimulus.name for stimulus in pairs.values()}
        free = _unique([one for one in stimuli if one.name not in taken], sign)
        left = _unique([one for one in responses if one.name not in pairs], sign)
        pairs |= {
            left[key].name: free[key]
            for key in left
            if key in free and _agree(left[key], free[key])
        }
    return pairs


def _number_and_electrode(one: Series) -> Hashable:
    return None if one.number is None or one.electrode is None else (one.number, one.electrode)


def _number(one: Series) -> Hashable:
    return one.number


def _name(one: Series) -> Hashable:
    """Return the numbers in a name, which are equal in data_00012_AD0 and data_00012_DA0."""
    return tuple(int(digits) for digits in re.findall(r"\d+", one.name)) or one.name


SIGNS: Final[tuple[Callable[[Series], Hashable], ...]] = (_number_and_electrode, _number, _name)


def _unique(series: Sequence[Series], sign: Callable[[Series], Hashable]) -> dict[Hashable, Series]:
    times = Counter(map(sign, series))
    return {key: one for one in series if (key := sign(one)) is not None and times[key] == 1}


def _agree(response: Series, stimulus: Series) -> bool:
    return None in (response.number, stimulus.number) or response.number == stimulus.number


def common_rate_hz(response: Series, stimulus: Series) -> float:
    """Return the sampling rate of a sweep, which both series must have."""
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


def read_samples(
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
        The factor of each unit.
    what
        `response` or `stimulus`.
    converted
        Whether the factor and the offset in the file are used.
    end
        The first sample that is not read; None reads all.
    """
    data = guard.member(one.group, "data")
    if data is None:
        raise Unusable(f"its {what} contains no data")
    conversion, offset = guard.number(data, "conversion"), guard.number(data, "offset")
    return scale(
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
        raise Unusable(f"its bias_current of {bias_a:g} A is too large for a holding current")
    return bias_pa
