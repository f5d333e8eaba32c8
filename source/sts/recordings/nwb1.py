"""NWB 1 files of the Allen Cell Types Database, read by h5py alone."""

import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed
from sts.recordings.gather import SweepSource, gather, look_at_current, make_sweep
from sts.recordings.nwb2 import check_content, nwb_version
from sts.recordings.recording import (
    FileIdentity,
    Recording,
    Sweep,
    Wanted,
    every_sweep,
    identify_file,
)
from sts.recordings.series import Series, bias_pa, id_in, pair, rates_hz, read_samples, series_in
from sts.recordings.traces import MILLIVOLTS, PICOAMPERES, Unusable

# Where the traces lie; the epochs of the Allen Institute link to them.
RESPONSES: Final = "acquisition/timeseries"
STIMULI: Final = "stimulus/presentation"
SWEEP: Final = re.compile(r"Sweep_(\d+)")
# Files of earlier pipelines hold volts and amperes, and a conversion beside them that is wrong.
CONVERTED_SINCE: Final = (1, 1)


def read_nwb1(path: Path, wanted: Wanted = every_sweep) -> Recording:
    """Return the current-clamp sweeps of an NWB 1 file; `CellFailed` says why there are none."""
    with guard.open_hdf5(path) as file:
        version = nwb_version(file)
        if not version.startswith("1"):
            raise CellFailed(f"is NWB {version or 'without a version'}: NWB 1 is wanted")
        responses, stimuli = _series(file)
        clamped = [one for one in responses if _is_current_clamp(one)]
        others = [one for one in responses if not _is_current_clamp(one)]
        check_content(clamped, ["voltage clamp"] * len(others))
        pairs = pair(clamped, stimuli, {})
        converted = _is_converted(file)
        sweeps = (
            SweepSource(
                called=one.called,
                read=partial(
                    _sweep, one, pairs.get(one.name), place, converted=converted, wanted=wanted
                ),
            )
            for place, one in enumerate(clamped)
        )
        modes = (f"{one.called}: voltage clamp" for one in others)
        return gather(sweeps, who=identity_in_nwb1(file, path), skipped=modes)


def _series(file: Any) -> tuple[list[Series], list[Series]]:
    """Return the responses and the stimuli, by the epochs if there are any."""
    epochs = guard.follow(file, "epochs")
    if isinstance(epochs, h5py.Group) and any(SWEEP.fullmatch(name) for name in epochs):
        return _of_epochs(epochs, "response"), _of_epochs(epochs, "stimulus")
    return [_numbered(one) for one in series_in(file, RESPONSES)], [
        _numbered(one) for one in series_in(file, STIMULI)
    ]


def _numbered(one: Series) -> Series:
    found = SWEEP.fullmatch(one.name)
    return replace(one, number=int(found[1])) if found and one.number is None else one


def _of_epochs(epochs: Any, side: str) -> list[Series]:
    found = []
    for name in epochs:
        group = guard.follow(epochs, f"{name}/{side}/timeseries") if SWEEP.fullmatch(name) else None
        if isinstance(group, h5py.Group):
            number = int(name.rpartition("_")[2])
            found.append(Series(name=name, kind="", group=group, number=number, electrode=None))
    return found


def _is_current_clamp(response: Series) -> bool:
    """Tell by the unit, which is there in all files, what was recorded: a voltage or a current."""
    data = guard.member(response.group, "data")
    unit = "" if data is None else guard.text(data, "unit")
    return not unit or unit.casefold() not in PICOAMPERES


def _is_converted(file: Any) -> bool:
    """Tell whether the factors beside the data hold, as they do in all files but Allen's first."""
    general, epochs = guard.follow(file, "general"), guard.follow(file, "epochs")
    generated = guard.member(general, "generated_by") if isinstance(general, h5py.Group) else None
    words = _words(generated)
    if "version" in words[:-1]:
        version = re.match(r"(\d+)\.(\d+)", words[words.index("version") + 1])
        return version is not None and (int(version[1]), int(version[2])) >= CONVERTED_SINCE
    # A file of theirs that does not name its pipeline is older than one that does.
    return not (isinstance(epochs, h5py.Group) and any(map(SWEEP.fullmatch, epochs)))


def _words(dataset: Any) -> list[str]:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "OS":
        return []
    guard.check_claim(dataset, max_bytes=guard.MAX_TEXT_BYTES)
    words = np.ravel(dataset[()]).tolist()
    return [
        word.decode("utf-8", errors="replace") if isinstance(word, bytes) else str(word)
        for word in words
    ]


def identity_in_nwb1(file: Any, path: Path) -> FileIdentity:
    """Return whose recording an open NWB 1 file holds."""
    return identify_file(
        # The Allen Institute adds this to the specimen in the names of its files.
        path.with_name(path.name.replace("_ephys.", ".")),
        # The session id of these files is that of a result, and nothing else is known by it.
        stated=id_in(file, "general", "aibs_specimen_id"),
        donor=id_in(file, "general/subject", "subject_id"),
    )


def _sweep(
    response: Series, stimulus: Series | None, place: int, *, converted: bool, wanted: Wanted
) -> Sweep | None:
    if stimulus is None:
        raise Unusable("no stimulus trace belongs to it")
    rate_hz = rates_hz(response, stimulus)
    begin, end = _experiment(response)
    current_pa = read_samples(stimulus, PICOAMPERES, what="stimulus", converted=converted, end=end)
    current_pa += bias_pa(response)
    if not (found := look_at_current(wanted, current_pa[begin:], rate_hz)):
        return None
    return make_sweep(
        read_samples(response, MILLIVOLTS, what="response", converted=converted, end=end),
        current_pa,
        rate_hz=rate_hz,
        name=_text(response, stimulus, "aibs_stimulus_name"),
        number=place if response.number is None else response.number,
        found=found,
        begin=begin,
        stated_pa=_stated_pa(response, stimulus),
    )


def _experiment(response: Series) -> tuple[int, int | None]:
    """Return where the part of a sweep that follows the test pulse begins and ends."""
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


def _text(response: Series, stimulus: Series, name: str) -> str:
    return guard.text(stimulus.group, name) or guard.text(response.group, name)


def _stated_pa(response: Series, stimulus: Series) -> float | None:
    name = "aibs_stimulus_amplitude_pa"
    for one in (stimulus, response):
        stated = guard.number(one.group, name)
        if stated is not None and math.isfinite(stated):
            return stated
    return None
