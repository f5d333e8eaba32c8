"""Igor binary waves: a file holds one channel of one sweep, and the files of a cell are joined.

The unit of a wave says whether it is the voltage or the current, so the order of the channels does
not matter.
"""

import datetime
import importlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base import guard
from sts.base.errors import CellFailed, StsError
from sts.recordings.channels import (
    BROKEN_FILE,
    Channel,
    check_interval_s,
    make_channel,
    pair_channels,
)
from sts.recordings.gather import Unusable, gather
from sts.recordings.recording import FileIdentity, Recording, Sweep, Wanted

_LIBRARY: Final = "igor2"
# Largest file of one channel: more than the longest sweep in float64.
_MAX_BYTES: Final = guard.MAX_ARRAY_BYTES + 2**20
# Igor counts seconds from here, without a time zone.
EPOCH: Final = datetime.datetime(1904, 1, 1)  # noqa: DTZ001, RUF100
# The header of older versions has one axis, with names of its own.
OLD_VERSIONS: Final = (1, 2, 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Wave(Channel):
    """The channel in a file."""

    recorded_at: str


def check_igor() -> None:
    """Refuse Igor files where the library that reads them is missing."""
    if importlib.util.find_spec(_LIBRARY) is None:
        raise StsError(
            f"Igor waves are read by the package {_LIBRARY}, which is not installed: "
            "pip install 'spike-train-scalograms[igor]'"
        )


def read_waves(
    sweeps: Mapping[int, Sequence[Path]],
    wanted: Wanted,
    *,
    name: str,
    identity: FileIdentity,
    skipped: Sequence[str] = (),
) -> Recording:
    """Return the recording in the waves of a cell; `CellFailed` says why there is none.

    Parameters
    ----------
    sweeps
        The files of every sweep, by its number.
    wanted
        Chooses the sweeps by their current.
    name
        The name of the stimulus.
    identity
        The cell and the donor.
    skipped
        Words for sweeps that are left out without being read.
    """
    check_igor()
    dates: list[str] = []
    sources = (
        (
            f"sweep {number}",
            partial(_read_sweep, paths, number=number, name=name, wanted=wanted, dates=dates),
        )
        for number, paths in sweeps.items()
    )
    recording = gather(sources, identity=identity, skipped=skipped)
    return replace(recording, recorded_at=min(filter(None, dates), default=""))


def _read_sweep(
    paths: Sequence[Path], *, number: int, name: str, wanted: Wanted, dates: list[str]
) -> Sweep | None:
    waves = [read_wave(path) for path in paths]
    dates.extend(wave.recorded_at for wave in waves if wave.is_voltage)
    return pair_channels(waves, number=number, name=name, wanted=wanted)


def read_wave(path: Path) -> Wave:
    """Return the channel in a file; `Unusable` says why there is none."""
    try:
        content = guard.read_head(path, _MAX_BYTES + 1)
    except CellFailed as error:
        raise Unusable(f"{path.name} {error}") from error
    if len(content) > _MAX_BYTES:
        raise Unusable(f"{path.name} is larger than {_MAX_BYTES / 1e6:.0f} MB: no sweep is so long")
    try:
        loaded = importlib.import_module(f"{_LIBRARY}.binarywave").load(io.BytesIO(content))
        return _make_wave(loaded)
    except Unusable as error:
        raise Unusable(f"{path.name}: {error}") from error
    except BROKEN_FILE as error:
        raise Unusable(
            f"{path.name} is no Igor wave, or damaged: {guard.describe_error(error)}"
        ) from error


def _make_wave(loaded: Mapping[str, Any]) -> Wave:
    wave = loaded["wave"]
    header, stored = wave["wave_header"], np.asarray(wave["wData"])
    if stored.dtype.kind not in "iuf":
        raise Unusable("it holds no real numbers")
    if loaded["version"] in OLD_VERSIONS:
        step, axis = header["hsA"], _join(header["xUnits"])
    else:
        step, axis = header["sfA"][0], _join(header["dimUnits"][0])
    interval_s = check_interval_s(step, axis)
    channel = make_channel(stored, _join(header["dataUnits"]), interval_s=interval_s)
    return Wave(**vars(channel), recorded_at=_read_date(header["creationDate"]))


def _join(letters: Any) -> str:
    """Return the text of a field that igor2 returns as bytes or as an array of single letters."""
    words = b"".join(np.ravel(np.asarray(letters, dtype="S")).tolist()).decode("latin-1")
    # The micro sign of Macintosh computers stays unknown: no amplifier needs it.
    return "".join(letter for letter in words if letter.isprintable()).strip()


def _read_date(seconds: Any) -> str:
    return (EPOCH + datetime.timedelta(seconds=int(seconds))).isoformat() if seconds else ""
