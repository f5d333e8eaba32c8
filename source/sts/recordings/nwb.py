"""NWB files, read by h5py: NWB 2 of MIES (DANDI 000020) and others, NWB 1 of the Allen Institute.

In both versions a sweep is a response and the stimulus that belongs to it. The current is the
stimulus plus `bias_current`, the holding current of the amplifier.
"""

import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.recordings.gather import (
    MILLIVOLTS,
    PICOAMPERES,
    Unusable,
    gather,
    look_at_current,
    make_sweep,
)
from sts.recordings.recording import (
    FileIdentity,
    Recording,
    Sweep,
    Wanted,
    identify_file,
    is_no_id,
    want_every_sweep,
)
from sts.recordings.series import (
    Series,
    SweepExperiment,
    bias_pa,
    common_rate_hz,
    pair_series,
    read_experiments,
    read_links,
    read_samples,
    series_in,
)

# Types of the time series of current clamp in NWB 2, and of other patch-clamp recordings.
RESPONSE: Final = "CurrentClampSeries"
STIMULUS: Final = "CurrentClampStimulusSeries"
OTHER_MODES: Final = {
    "VoltageClampSeries": "voltage clamp",
    "IZeroClampSeries": "zero current (I=0)",
}
# Output channel and set number, which MIES adds to the name of a stimulus.
MIES_ENDING: Final = re.compile(r"(_DA_\d+|\[\d+\])+$")

# Where the traces of NWB 1 are. The epochs of the Allen Institute link to them.
NWB1_RESPONSES: Final = "acquisition/timeseries"
NWB1_STIMULI: Final = "stimulus/presentation"
SWEEP: Final = re.compile(r"Sweep_(\d+)")
# First version of the Allen Institute's pipeline with correct factors. Files of earlier versions
# contain volts and amperes, with a wrong factor.
CONVERTED_SINCE: Final = (1, 1)


def read_nwb2(path: Path, wanted: Wanted = want_every_sweep) -> Recording:
    """Return the current-clamp sweeps of an NWB 2 file; `CellFailed` says why there are none."""
    with guard.open_hdf5(path) as file:
        version = nwb_version(file)
        if not version.startswith("2"):
            raise CellFailed(
                f"is NWB {version}: NWB 2 is needed" if version else "is no NWB file: it is HDF5"
            )
        series = series_in(file, "acquisition")
        responses = [one for one in series if one.kind == RESPONSE]
        others = [(one, OTHER_MODES[one.kind]) for one in series if one.kind in OTHER_MODES]
        _check_content(responses, [mode for _, mode in others])
        stimuli = series_in(file, "stimulus/presentation")
        return _gather_pairs(
            partial(_read_nwb2_sweep, experiments=read_experiments(file), wanted=wanted),
            responses,
            pair_series(responses, stimuli, read_links(file)),
            others=others,
            identity=identity_in_nwb2(file, path),
        )


def read_nwb1(path: Path, wanted: Wanted = want_every_sweep) -> Recording:
    """Return the current-clamp sweeps of an NWB 1 file; `CellFailed` says why there are none."""
    with guard.open_hdf5(path) as file:
        version = nwb_version(file)
        if not version.startswith("1"):
            raise CellFailed(f"is NWB {version or 'without a version'}: NWB 1 is needed")
        series, stimuli = _nwb1_series(file)
        responses = [one for one in series if _is_current_clamp(one)]
        others = [(one, "voltage clamp") for one in series if not _is_current_clamp(one)]
        _check_content(responses, [mode for _, mode in others])
        return _gather_pairs(
            partial(_read_nwb1_sweep, converted=_is_converted(file), wanted=wanted),
            responses,
            pair_series(responses, stimuli, {}),
            others=others,
            identity=identity_in_nwb1(file, path),
        )


def nwb_version(file: Any) -> str:
    """Return the NWB version in an open HDF5 file, "" without one."""
    return guard.text(file, "nwb_version").removeprefix("NWB-")


def identity_in_nwb2(file: Any, path: Path) -> FileIdentity:
    """Return the identity of the cell in an open NWB 2 file."""
    subject = _text_in(file, "general/subject", "subject_id")
    return identify_file(
        path,
        stated=_text_in(file, "general", "session_id"),
        named=_read_name(path, "ses"),
        donor=_read_name(path, "sub") if is_no_id(subject) else subject,
        recorded_at=guard.text(file, "session_start_time"),
    )


def identity_in_nwb1(file: Any, path: Path) -> FileIdentity:
    """Return the identity of the cell in an open NWB 1 file."""
    return identify_file(
        # The Allen Institute adds this to the specimen in the names of its files.
        path.with_name(path.name.replace("_ephys.", ".")),
        # The session id of these files identifies a result, and is used nowhere else.
        stated=_text_in(file, "general", "aibs_specimen_id"),
        donor=_text_in(file, "general/subject", "subject_id"),
        recorded_at=guard.text(file, "session_start_time"),
    )


def _text_in(file: Any, place: str, name: str) -> str:
    """Return the text with a name in a group of the file, "" without one."""
    group = guard.follow(file, place)
    return guard.text(group, name) if isinstance(group, h5py.Group) else ""


def _read_name(path: Path, key: str) -> str:
    """Return a value in a file name of DANDI, as in sub-599387254_ses-601506492_icephys.nwb."""
    match = re.search(rf"(?:^|_){key}-([^_]+)", path.stem)
    return match[1] if match else ""


def _check_content(responses: Sequence[Series], other_modes: Sequence[str]) -> None:
    """Refuse a file without current clamp, and one with more than one cell."""
    if not responses:
        modes = sorted(set(other_modes))
        content = f"only {' and '.join(modes)}" if modes else "no current clamp"
        raise CellFailed(
            f"contains {content} sweeps: current clamp is needed"
            + (f" ({len(other_modes)} sweeps)" if modes else "")
        )
    electrodes = {one.electrode for one in responses} - {None}
    if len(electrodes) > 1:
        raise CellFailed(
            f"contains more than one cell: its current clamp sweeps come from {len(electrodes)} "
            "electrodes; give every cell its own file"
        )


def _gather_pairs(
    read: Callable[[Series, Series, int], Sweep | None],
    responses: Sequence[Series],
    stimuli: dict[str, Series],
    *,
    others: Iterable[tuple[Series, str]],
    identity: FileIdentity,
) -> Recording:
    """Return the recording; `read` takes a response, its stimulus and its position."""

    def read_pair(response: Series, place: int) -> Sweep | None:
        if response.name not in stimuli:
            raise Unusable("no stimulus trace belongs to it")
        return read(response, stimuli[response.name], place)

    sources = (
        (one.full_name, partial(read_pair, one, place)) for place, one in enumerate(responses)
    )
    skipped = (f"{one.full_name}: {mode}" for one, mode in others)
    return gather(sources, identity=identity, skipped=skipped)


def _read_nwb2_sweep(
    response: Series,
    stimulus: Series,
    place: int,
    *,
    experiments: Mapping[Hashable, SweepExperiment],
    wanted: Wanted,
) -> Sweep | None:
    if stimulus.kind != STIMULUS:
        raise Unusable(f"its stimulus is of type {stimulus.kind or 'none'}: {STIMULUS} is needed")
    rate_hz = common_rate_hz(response, stimulus)
    experiment = experiments.get(response.group.id, SweepExperiment())
    current_pa = read_samples(stimulus, PICOAMPERES, what="stimulus") + bias_pa(response)
    # A row that begins behind the end says nothing about this sweep.
    begin = experiment.begin if experiment.begin < len(current_pa) else 0
    if not (known := look_at_current(wanted, current_pa[begin:], rate_hz)):
        return None
    names = (guard.text(one.group, "stimulus_description") for one in (response, stimulus))
    return make_sweep(
        read_samples(response, MILLIVOLTS, what="response"),
        current_pa,
        rate_hz=rate_hz,
        name=next(filter(None, (MIES_ENDING.sub("", name) for name in names)), ""),
        number=place if response.number is None else response.number,
        known_stimulus=known,
        begin=begin,
        stated_pa=experiment.stated_pa,
    )


def _nwb1_series(file: Any) -> tuple[list[Series], list[Series]]:
    """Return the responses and the stimuli, by the epochs if there are any."""
    if _has_sweep_epochs(file):
        epochs = guard.follow(file, "epochs")
        return _series_of_epochs(epochs, "response"), _series_of_epochs(epochs, "stimulus")
    responses, stimuli = (
        [_number_by_name(one) for one in series_in(file, place)]
        for place in (NWB1_RESPONSES, NWB1_STIMULI)
    )
    return responses, stimuli


def _has_sweep_epochs(file: Any) -> bool:
    epochs = guard.follow(file, "epochs")
    return isinstance(epochs, h5py.Group) and any(map(SWEEP.fullmatch, epochs))


def _number_by_name(one: Series) -> Series:
    match = SWEEP.fullmatch(one.name)
    return replace(one, number=int(match[1])) if match and one.number is None else one


def _series_of_epochs(epochs: Any, side: str) -> list[Series]:
    series = []
    for name in epochs:
        group = guard.follow(epochs, f"{name}/{side}/timeseries") if SWEEP.fullmatch(name) else None
        if isinstance(group, h5py.Group):
            number = int(name.rpartition("_")[2])
            series.append(Series(name=name, kind="", group=group, number=number, electrode=None))
    return series


def _is_current_clamp(response: Series) -> bool:
    """Tell by its unit, which all files have, whether a response is a voltage."""
    data = guard.member(response.group, "data")
    unit = "" if data is None else guard.text(data, "unit")
    return not unit or unit.casefold() not in PICOAMPERES


def _is_converted(file: Any) -> bool:
    """Tell whether the factors in a file are correct; in Allen's first files they are wrong."""
    general = guard.follow(file, "general")
    generated = guard.member(general, "generated_by") if isinstance(general, h5py.Group) else None
    words = _words(generated)
    if "version" in words[:-1]:
        version = re.match(r"(\d+)\.(\d+)", words[words.index("version") + 1])
        return version is not None and (int(version[1]), int(version[2])) >= CONVERTED_SINCE
    # A file of the Allen Institute without the name of its pipeline is older than those with it.
    return not _has_sweep_epochs(file)


def _words(dataset: Any) -> list[str]:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "OS":
        return []
    guard.check_claim(dataset, max_bytes=guard.MAX_TEXT_BYTES)
    words = np.ravel(dataset[()]).tolist()
    return [
        word.decode("utf-8", errors="replace") if isinstance(word, bytes) else str(word)
        for word in words
    ]


def _read_nwb1_sweep(
    response: Series, stimulus: Series, place: int, *, converted: bool, wanted: Wanted
) -> Sweep | None:
    rate_hz = common_rate_hz(response, stimulus)
    begin, end = _experiment(response)
    current_pa = read_samples(stimulus, PICOAMPERES, what="stimulus", converted=converted, end=end)
    current_pa += bias_pa(response)
    if not (known := look_at_current(wanted, current_pa[begin:], rate_hz)):
        return None
    names = (guard.text(one.group, "aibs_stimulus_name") for one in (stimulus, response))
    return make_sweep(
        read_samples(response, MILLIVOLTS, what="response", converted=converted, end=end),
        current_pa,
        rate_hz=rate_hz,
        name=next(filter(None, names), ""),
        number=place if response.number is None else response.number,
        known_stimulus=known,
        begin=begin,
        stated_pa=_stated_pa(response, stimulus),
    )


def _experiment(response: Series) -> tuple[int, int | None]:
    """Return start and end of the part of a sweep that follows the test pulse."""
    place = f"epochs/Experiment_{response.number}/stimulus"
    group = guard.follow(response.group.file, place)
    if not isinstance(group, h5py.Group):
        return 0, None
    first, count = guard.number(group, "idx_start"), guard.number(group, "count")
    if first is None or count is None:
        return 0, None
    if not (math.isfinite(first) and math.isfinite(count) and first >= 0 and count >= 1):
        raise Unusable(f"its experiment begins at sample {first:g} and has {count:g} samples")
    return int(first), int(first + count)


def _stated_pa(response: Series, stimulus: Series) -> float | None:
    """Return the amplitude that the file states, if it does."""
    for one in (stimulus, response):
        stated = guard.number(one.group, "aibs_stimulus_amplitude_pa")
        if stated is not None and math.isfinite(stated):
            return stated
    return None
