"""Read the files of one cell, here or in a sandbox, and measure what a build needs."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np

from sts.base.errors import CellExcluded, CellFailed, StsError
from sts.base.logs import printable
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.sandbox import Limits, reuse_sandbox
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.datasets.cell_files import (
    CellFiles,
    FileStamp,
    cell_files_from_json,
    identity_of_cell,
    read_cell,
    stamp_cell,
)
from sts.recordings.gather import count_reasons
from sts.recordings.nwb import OTHER_MODES
from sts.recordings.recording import FileIdentity, Recording
from sts.signals.analysis import Analysis, analyse
from sts.signals.feature_names import ONSET_FRAME
from sts.signals.features import absolute_times, measure_features
from sts.signals.quality import QualitySettings, keep_sound
from sts.signals.resample import PAIR_SHAPE, cut_pair
from sts.signals.select import SelectSettings, select_pair

# Start of the reason for a second recording of the same specimen.
SECOND_RECORDING: Final = "this specimen is there already"
# Start of the reason for a cell that the user has marked.
LEFT_OUT: Final = "marked to be excluded"
# The function that the sandbox runs.
WORK: Final = "sts.datasets.cell_results:work"


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The products of every recording, and the rules for them."""

    select: SelectSettings = field(default_factory=SelectSettings)
    quality: QualitySettings | None = field(default_factory=QualitySettings)
    """The limits of usable sweeps; None: all sweeps are used."""
    store: bool = True
    features: bool = False
    times: str = ONSET_FRAME
    """The origin of the times of features: one of TIME_FRAMES."""
    feature_steps_s: tuple[float, float] | None = None
    """Features are measured on long squares of these lengths; None: on all."""
    one_sweep: bool = False
    """Take cells without a second sweep, too; no build does so."""

    def of(self, product: str) -> dict[str, Any]:
        """Return the settings that one product depends on."""
        # Features have published definitions and few settings.
        own: dict[str, Any] = to_dict(self.select) if product == "store" else {"times": self.times}
        if product == "features" and self.feature_steps_s is not None:
            own["feature_steps_s"] = list(self.feature_steps_s)
        return own | {"quality": None if self.quality is None else to_dict(self.quality)}


@dataclass(frozen=True, kw_only=True)
class ProductResult:
    """The result of a cell in one product: `ok`, `excluded` or `failed`, and why, in words."""

    status: str
    reason: str = ""
    flags: tuple[str, ...] = ()
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class CellResult:
    """All results from the recording of one cell."""

    file: str
    files: tuple[FileStamp, ...] = ()
    """The files of the cell; `file` is their common name."""
    specimen_id: str = ""
    donor_id: str = ""
    claims_id: bool = False
    """Whether a file contains the specimen id; else the id is the name of the file."""
    ignored_id: str = ""
    """An id in a file that identifies no specimen, such as PLACEHOLDER."""
    was_read: bool = False
    """Whether a recording could be read, usable or not."""
    store: ProductResult | None = None
    features: ProductResult | None = None
    traces: Floats | None = None
    """(2, 4800) float32, mV: rheobase sweep and second sweep, present if `store` is ok."""

    @property
    def results(self) -> list[ProductResult]:
        """Return the results in the requested products."""
        return [result for result in (self.store, self.features) if result is not None]

    @property
    def failed(self) -> bool:
        """Tell whether any product failed."""
        return any(result.status == "failed" for result in self.results)

    @property
    def is_double(self) -> bool:
        """Tell whether an earlier file contains the same specimen."""
        return any(result.reason.startswith(SECOND_RECORDING) for result in self.results)

    @property
    def is_left_out(self) -> bool:
        """Tell whether an earlier build left the cell out because the user had marked it."""
        return any(result.reason.startswith(LEFT_OUT) for result in self.results)

    def to_json(self) -> dict[str, Any]:
        """Return everything except the traces as values for a line of JSON, without NaN."""
        line = asdict(replace(self, traces=None))
        del line["traces"]
        line["has_traces"] = self.traces is not None
        for result in (line["store"], line["features"]):
            if result is not None:
                values = result["values"].items()
                result["values"] = {k: None if math.isnan(v) else v for k, v in values}
        return line


def cell_result_from_json(line: dict[str, Any], traces: Floats | None) -> CellResult:
    """Return the result from the values of `to_json`."""
    own = {key: value for key, value in line.items() if key != "has_traces"}
    own["files"] = tuple(FileStamp(**stamp) for stamp in line["files"])
    for product in ("store", "features"):
        if (result := line[product]) is not None:
            values = {k: math.nan if v is None else v for k, v in result["values"].items()}
            flags = tuple(result["flags"])
            own[product] = ProductResult(**{**result, "flags": flags, "values": values})
    return CellResult(**own, traces=traces)


def process_cells(
    cells: Sequence[CellFiles],
    settings: BuildSettings,
    *,
    limits: Limits | None = None,
    workers: int = 0,
    cluster: str | None = None,
) -> Iterator[tuple[int, CellResult]]:
    """Yield positions and results of cells in the order in which they finish."""
    work = partial(process_in_sandbox, settings=settings, limits=limits)
    # More processes than cells would have no work.
    count = min(worker_count(workers), max(len(cells), 1))
    with progress(len(cells), "recordings") as bar:
        for done in map_unordered(work, cells, workers=count, cluster=cluster):
            yield done
            bar.advance()


def process_in_sandbox(
    cell: CellFiles, settings: BuildSettings, limits: Limits | None = None
) -> CellResult:
    """Run `process_cell` in a process that may crash, hang or need too much memory.

    This process never opens a file of the cell.
    """
    limits = limits or Limits()
    request = {
        "cell": cell.to_json(),
        "settings": to_dict(settings),
    }
    reader = reuse_sandbox(WORK, limits)
    reader.start()
    deadline = time.monotonic() + limits.wall_s
    stamps: list[dict[str, Any]] = [asdict(FileStamp(file=file)) for file in cell.paths]
    try:
        # The stamps are taken first, so that they exist even if the file crashes the sandbox.
        stamps = reader.ask(request | {"only": "stamps"})[0]["stamps"]
        left_s = max(deadline - time.monotonic(), 0.0)
        line, data = reader.ask(request | {"stamps": stamps}, within_s=left_s)
    except CellFailed as error:
        files = tuple(FileStamp(**stamp) for stamp in stamps)
        failed = ProductResult(status="failed", reason=str(error))
        return _repeat_for_products(CellResult(file=cell.name, files=files), failed, settings)
    traces = np.frombuffer(data, np.float32).reshape(PAIR_SHAPE).copy() if data else None
    return cell_result_from_json(line, traces)


def work(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `process_in_sandbox`, in the sandbox."""
    cell = cell_files_from_json(request["cell"])
    if request.get("only") == "stamps":
        return {"stamps": [asdict(stamp) for stamp in stamp_cell(cell)]}, b""
    settings = from_dict(BuildSettings, request["settings"])
    stamps = tuple(FileStamp(**stamp) for stamp in request["stamps"])
    result = process_cell(cell, settings, stamps)
    traces = result.traces
    return result.to_json(), b"" if traces is None else np.float32(traces).tobytes()


def process_cell(
    cell: CellFiles, settings: BuildSettings, stamps: tuple[FileStamp, ...] | None = None
) -> CellResult:
    """Read the files of one cell and measure the products; a bad file raises no error."""
    # Stamped before it is read: if a file changes at the same time, the next build reads it again.
    result = CellResult(file=cell.name, files=stamps or stamp_cell(cell))
    try:
        recording = read_cell(cell, result.files)
    except Exception as error:  # noqa: BLE001, RUF100 - a broken file raises whatever it likes
        result = _with_identity(result, identity_of_cell(cell))
        return _repeat_for_products(result, _explain(error), settings)
    result = replace(_with_identity(result, recording), was_read=True)
    try:
        sound = _keep_sound(recording, settings)
    except Exception as error:  # noqa: BLE001, RUF100 - one bad cell never stops a batch
        return _repeat_for_products(result, _explain(error), settings)
    if settings.store:
        cut = partial(make_store_entry, sound, settings.select, one_sweep=settings.one_sweep)
        traces, stored = _attempt(cut, sound)
        result = replace(result, traces=traces, store=stored)
    if settings.features:
        _, measured = _attempt(lambda: _measure(sound, settings), sound)
        result = replace(result, features=measured)
    return result


def _with_identity(result: CellResult, who: FileIdentity | None) -> CellResult:
    """Return the result with the identity of the cell, if its files contain one."""
    names = ("specimen_id", "donor_id", "claims_id", "ignored_id")
    known = {} if who is None else {name: getattr(who, name) for name in names}
    return replace(result, **known)


def _repeat_for_products(
    result: CellResult, same: ProductResult, settings: BuildSettings
) -> CellResult:
    """Return the result with the same product result in every requested product."""
    return replace(
        result,
        store=same if settings.store else None,
        features=same if settings.features else None,
    )


def _keep_sound(recording: Recording, settings: BuildSettings) -> Analysis:
    """Return the usable sweeps; flags explain why others are not usable."""
    left_out = _list_unread(recording)
    if not recording.sweeps:
        raise CellExcluded(_explain_no_sweep(recording, left_out))
    sound = keep_sound(analyse(recording), settings.quality)
    return replace(sound, flags=(*recording.notes, *left_out, *sound.flags))


def _explain_no_sweep(recording: Recording, left_out: Sequence[str]) -> str:
    if left_out:
        rest = f", none of the other {recording.unread} contains one" if recording.unread else ""
        return f"no usable sweep with a single step of constant current: {left_out[0]}{rest}"
    return (
        f"no long square: none of {recording.unread} current clamp sweeps contains a single step "
        "of constant current of 0.4 to 2 s"
    )


def _list_unread(recording: Recording) -> list[str]:
    """Return a flag on the current clamp sweeps that the reader left out, if there are any."""
    reasons = [line.partition(": ")[2] for line in recording.skipped]
    odd = [
        " ".join(printable(reason).replace(";", ",").split())
        for reason in reasons
        if reason not in OTHER_MODES.values()
    ]
    return [f"{len(odd)} sweeps not read: {count_reasons(odd)}"] if odd else []


def make_store_entry(
    analysis: Analysis, select: SelectSettings, *, one_sweep: bool = False
) -> tuple[Floats, ProductResult]:
    """Return the two sweeps of a cell at 4 kHz, and their values in the store."""
    pair = select_pair(analysis, select, one_sweep=one_sweep)
    traces, flags = cut_pair(pair)
    rheobase, second = pair.steps
    values = {
        # Stored commands can be inexact, such as 79.99999 pA.
        "rheobase_pa": round(rheobase.amplitude_pa, 2),
        "step_pa": round(second.amplitude_pa, 2),
        "onset_s": rheobase.onset_s,
        "rheobase_sweep": float(pair.sweeps[0].number),
        "second_sweep": float(pair.sweeps[1].number),
    }
    return traces, ProductResult(status="ok", flags=(*pair.flags, *flags), values=values)


def _measure(analysis: Analysis, settings: BuildSettings) -> tuple[None, ProductResult]:
    measured = measure_features(analysis, lengths_s=settings.feature_steps_s)
    values = absolute_times(measured.values, settings.times)
    return None, ProductResult(status="ok", flags=measured.notes, values=values)


def _attempt(
    step: Callable[[], tuple[Floats | None, ProductResult]], sound: Analysis
) -> tuple[Floats | None, ProductResult]:
    traces: Floats | None = None
    try:
        traces, result = step()
    except Exception as error:  # noqa: BLE001, RUF100 - one bad cell never stops a batch
        result = _explain(error)
    return traces, replace(result, flags=(*result.flags, *sound.flags))


def _explain(error: Exception) -> ProductResult:
    """Return the result of a cell whose processing raised an error."""
    text = printable(str(error))
    if isinstance(error, CellExcluded):
        return ProductResult(status="excluded", reason=text)
    if isinstance(error, MemoryError):
        text = "needs more memory than one file is allowed"
    elif isinstance(error, OSError):
        text = f"cannot be read: {text}"
    elif not isinstance(error, StsError):
        text = f"unexpected {type(error).__name__}: {text}"
    return ProductResult(status="failed", reason=text)
