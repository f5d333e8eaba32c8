"""One recording file becomes one outcome: its two sweeps, its features, or the reason why not."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sts.base.errors import CellExcluded, StsError
from sts.base.logs import printable
from sts.base.settings import to_dict
from sts.base.types import Floats
from sts.datasets.cell_files import (
    CellFiles,
    FileStamp,
    identity_of_cell,
    read_cell,
    stamp_cell,
)
from sts.recordings.gather import count_reasons
from sts.recordings.nwb import OTHER_MODES
from sts.recordings.recording import FileIdentity, Recording
from sts.signals.analysis import Analysis, analyse
from sts.signals.features import ONSET, absolute_times, measure_features
from sts.signals.quality import QualitySettings, keep_sound
from sts.signals.resample import cut_pair
from sts.signals.select import SelectSettings, select_pair

# How the reason of a second recording of one specimen begins.
DOUBLE: Final = "this specimen is there already"


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """What is made of every recording, and by which rules."""

    select: SelectSettings = field(default_factory=SelectSettings)
    quality: QualitySettings | None = field(default_factory=QualitySettings)
    """What a sweep may be at worst; None leaves none out."""
    store: bool = True
    features: bool = False
    times: str = ONSET
    """What the times of features count from: one of TIME_FRAMES."""
    feature_steps_s: tuple[float, float] | None = None
    """Features are measured on long squares of these lengths; None: of all."""

    def of(self, product: str) -> dict[str, Any]:
        """Return all that one product depends on."""
        # Features follow published definitions; little is there to set.
        own: dict[str, Any] = to_dict(self.select) if product == "store" else {"times": self.times}
        if product == "features" and self.feature_steps_s is not None:
            own["feature_steps_s"] = list(self.feature_steps_s)
        return own | {"quality": None if self.quality is None else to_dict(self.quality)}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a cell in one product: `ok`, `excluded` or `failed`, and why, in words."""

    status: str
    reason: str = ""
    flags: tuple[str, ...] = ()
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """All that is kept of the recording of one cell."""

    file: str
    files: tuple[FileStamp, ...] = ()
    """The files of the cell; `file` names them together."""
    specimen_id: str = ""
    donor_id: str = ""
    claims_id: bool = False
    """Whether a file states the specimen; else its name stands in."""
    ignored_id: str = ""
    """What a file states as the specimen, but says nothing."""
    was_read: bool = False
    """Whether there was a recording, of use or not."""
    store: Verdict | None = None
    features: Verdict | None = None
    traces: Floats | None = None
    """(2, 4800) float32, mV: rheobase sweep and second sweep, present if `store` is ok."""

    @property
    def failed(self) -> bool:
        """Tell whether any product failed."""
        return any(v is not None and v.status == "failed" for v in (self.store, self.features))

    @property
    def is_double(self) -> bool:
        """Tell whether another file of the same specimen came first."""
        verdicts = (self.store, self.features)
        return any(v is not None and v.reason.startswith(DOUBLE) for v in verdicts)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the traces, ready for a line of JSON."""
        line = asdict(replace(self, traces=None))
        del line["traces"]
        line["has_traces"] = self.traces is not None
        for verdict in (line["store"], line["features"]):
            if verdict is not None:
                verdict["values"] = {k: _or_none(v) for k, v in verdict["values"].items()}
        return line


def outcome_from_json(line: dict[str, Any], traces: Floats | None) -> Outcome:
    """Return the outcome whose `to_json` is given."""
    own = {key: value for key, value in line.items() if key != "has_traces"}
    own |= {key: _verdict(line[key]) for key in ("store", "features")}
    own["files"] = tuple(FileStamp(**stamp) for stamp in line["files"])
    return Outcome(**own, traces=traces)


def _verdict(line: dict[str, Any] | None) -> Verdict | None:
    if line is None:
        return None
    values = {key: math.nan if v is None else v for key, v in line["values"].items()}
    return Verdict(**{**line, "flags": tuple(line["flags"]), "values": values})


def _or_none(value: float) -> float | None:
    """Return `value`, or None for the NaN that JSON does not know."""
    return None if math.isnan(value) else value


def process_file(path: Path, *, file: str, settings: BuildSettings) -> Outcome:
    """Read one recording and make of it what the settings ask for; never raise for a bad file."""
    return process_cell(CellFiles(name=file, paths={file: path}), settings)


def process_cell(
    cell: CellFiles, settings: BuildSettings, stamps: tuple[FileStamp, ...] | None = None
) -> Outcome:
    """Read the files of one cell and make of them what is asked for; never raise for a bad file."""
    # Looked at before the reading: a file that changes meanwhile will count as changed.
    outcome = Outcome(file=cell.name, files=stamps or stamp_cell(cell))
    try:
        recording = read_cell(cell, outcome.files)
    except Exception as error:  # noqa: BLE001, RUF100 - a broken file raises whatever it likes
        return judged(_identified(outcome, identity_of_cell(cell)), _verdict_of(error), settings)
    outcome = replace(_identified(outcome, recording), was_read=True)
    try:
        sound = _sound(recording, settings)
    except Exception as error:  # noqa: BLE001, RUF100 - one bad cell never stops a batch
        return judged(outcome, _verdict_of(error), settings)
    traces, in_store = _attempt(_store, sound, settings) if settings.store else (None, None)
    _, measured = _attempt(_features, sound, settings) if settings.features else (None, None)
    return replace(outcome, store=in_store, features=measured, traces=traces)


def _identified(outcome: Outcome, who: FileIdentity | None) -> Outcome:
    """Return an outcome that says whose recording it is, as far as its files do."""
    names = ("specimen_id", "donor_id", "claims_id", "ignored_id")
    known = {} if who is None else {name: getattr(who, name) for name in names}
    return replace(outcome, **known)


def judged(outcome: Outcome, verdict: Verdict, settings: BuildSettings) -> Outcome:
    """Return an outcome with one verdict on all that the settings ask for."""
    return replace(
        outcome,
        store=verdict if settings.store else None,
        features=verdict if settings.features else None,
    )


def _sound(recording: Recording, settings: BuildSettings) -> Analysis:
    """Return the sweeps that can be trusted, and all that is to be said of the others."""
    if not recording.sweeps:
        raise CellExcluded(_why_none(recording))
    sound = keep_sound(analyse(recording), settings.quality)
    return replace(sound, flags=(*recording.notes, *_unread(recording), *sound.flags))


def _why_none(recording: Recording) -> str:
    """Return why no sweep of a recording is measured."""
    if left_out := _unread(recording):
        rest = f", none of the other {recording.unread} holds one" if recording.unread else ""
        return f"no usable sweep with a lone step of constant current: {left_out[0]}{rest}"
    return (
        f"no long square: none of {recording.unread} current clamp sweeps holds a lone step of "
        "constant current of 0.4 to 2 s"
    )


def _unread(recording: Recording) -> tuple[str, ...]:
    """Return what is to be said of current clamp sweeps that the reader left out."""
    reasons = [line.partition(": ")[2] for line in recording.skipped]
    odd = [
        " ".join(printable(reason).replace(";", ",").split())
        for reason in reasons
        if reason not in OTHER_MODES.values()
    ]
    return (f"{len(odd)} sweeps not read: {count_reasons(odd)}",) if odd else ()


def store_entry(analysis: Analysis, select: SelectSettings) -> tuple[Floats, Verdict]:
    """Return the two sweeps of a cell at 4 kHz and what the store says of them."""
    pair = select_pair(analysis, select)
    traces, flags = cut_pair(pair)
    rheobase, second = pair.steps
    values = {
        # Commands read like 79.99999 pA.
        "rheobase_pa": round(rheobase.amplitude_pa, 2),
        "step_pa": round(second.amplitude_pa, 2),
        "onset_s": rheobase.onset_s,
        "rheobase_sweep": float(pair.sweeps[0].number),
        "second_sweep": float(pair.sweeps[1].number),
    }
    return traces, Verdict(status="ok", flags=(*pair.flags, *flags), values=values)


def _store(analysis: Analysis, settings: BuildSettings) -> tuple[Floats | None, Verdict]:
    return store_entry(analysis, settings.select)


def _features(analysis: Analysis, settings: BuildSettings) -> tuple[Floats | None, Verdict]:
    measured = measure_features(analysis, lengths_s=settings.feature_steps_s)
    values = absolute_times(measured.values, settings.times)
    return None, Verdict(status="ok", flags=measured.notes, values=values)


def _attempt(
    step: Callable[[Analysis, BuildSettings], tuple[Floats | None, Verdict]],
    sound: Analysis,
    settings: BuildSettings,
) -> tuple[Floats | None, Verdict]:
    traces: Floats | None = None
    try:
        traces, verdict = step(sound, settings)
    except Exception as error:  # noqa: BLE001, RUF100 - one bad cell never stops a batch
        verdict = _verdict_of(error)
    return traces, replace(verdict, flags=(*verdict.flags, *sound.flags))


def _verdict_of(error: Exception) -> Verdict:
    if isinstance(error, CellExcluded):
        return Verdict(status="excluded", reason=printable(str(error)))
    if isinstance(error, StsError):
        return Verdict(status="failed", reason=printable(str(error)))
    if isinstance(error, MemoryError):
        return Verdict(status="failed", reason="needs more memory than one file is allowed")
    if isinstance(error, OSError):
        return Verdict(status="failed", reason=printable(f"cannot be read: {error}"))
    what = printable(f"{type(error).__name__}: {error}")
    return Verdict(status="failed", reason=f"unexpected {what}")
