"""What was measured and predicted of a cell, written into a copy of its recording as NWB tables.

The copy of an NWB 2 file keeps all bytes of its source; a recording of another format is converted.
The tables are added to `processing/icephys` in the sandbox.
"""

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts import __version__
from sts.base import guard
from sts.base.errors import CellExcluded, CellFailed
from sts.base.files import atomic_path, sha256_of
from sts.base.logs import printable
from sts.base.sandbox import Limits, reuse_sandbox
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.datasets.cell_files import (
    CellFiles,
    FileStamp,
    cell_files_from_json,
    read_cell,
)
from sts.datasets.cell_results import BuildSettings
from sts.datasets.conversion import explain_failure, write_converted
from sts.datasets.feature_sets import UNITS
from sts.recordings.readers import content_of
from sts.signals.analysis import Analysis, analyse
from sts.signals.features import measure_features
from sts.signals.quality import keep_sound
from sts.signals.sweep_results import MeasuredSweep, measure_sweeps

# The function that the sandbox runs.
_WORK: Final = "sts.datasets.nwb_results:write_requested"
MODULE: Final = "icephys"
# The names of our tables begin so; earlier ones in the source are replaced.
_PREFIX: Final = "sts_"
TEXT: Final = h5py.string_dtype()
_TITLES: Final = {
    "sweeps": "The stimulus, the spikes and the features of every sweep that was measured. Spike "
    "times are in seconds since the first sample of the sweep. NaN is missing.",
    "features": "The electrophysiology features of the cell. NaN is missing.",
    "class_probabilities": "The probabilities of the classes, and whether each is in the "
    "prediction set.",
    "prediction": "The prediction, and the model that made it.",
}


@dataclass(frozen=True, kw_only=True)
class StatedResults:
    """What a model says of a cell, for the tables of its file."""

    probabilities: Mapping[str, float]
    """By class; empty where there is no prediction."""
    prediction_set: tuple[str, ...] | None
    """The possible classes; None where the model gives no set."""
    facts: Mapping[str, str]
    """Further facts, in words: the prediction, the model, its digest."""


@dataclass(frozen=True, kw_only=True)
class ResultsTask:
    """The files of a cell, and where its results are written."""

    cell: CellFiles
    stamps: tuple[FileStamp, ...]
    """Of the files as they were when the cell was measured."""
    target: Path
    settings: BuildSettings
    answer: StatedResults


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """One column of a table; lists of numbers make a ragged one."""

    name: str
    description: str
    values: Sequence[object]

    @property
    def is_ragged(self) -> bool:
        """Tell whether each value is an array."""
        return any(isinstance(value, np.ndarray) for value in self.values)


def write_in_sandbox(task: ResultsTask, limits: Limits | None = None) -> str:
    """Write the results of one cell; return why that failed, "" if it did not."""
    request = {
        "cell": task.cell.to_json(),
        "stamps": [vars(stamp) for stamp in task.stamps],
        "target": str(task.target),
        "settings": to_dict(task.settings),
        "answer": {
            "probabilities": dict(task.answer.probabilities),
            "prediction_set": task.answer.prediction_set,
            "facts": dict(task.answer.facts),
        },
    }
    try:
        answer, _ = reuse_sandbox(_WORK, limits or Limits()).ask(request)
    except CellFailed as error:
        return str(error)
    return str(answer["reason"])


def write_requested(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer a request of `write_in_sandbox`, in the sandbox."""
    answer = request["answer"]
    sets = answer["prediction_set"]
    task = ResultsTask(
        cell=cell_files_from_json(request["cell"]),
        stamps=tuple(FileStamp(**stamp) for stamp in request["stamps"]),
        target=Path(request["target"]),
        settings=from_dict(BuildSettings, request["settings"]),
        answer=StatedResults(**{**answer, "prediction_set": None if sets is None else tuple(sets)}),
    )
    try:
        write_cell_results(task)
    except Exception as error:  # noqa: BLE001, RUF100 - a broken file raises whatever it likes
        return {"reason": printable(explain_failure(error))}, b""
    return {"reason": ""}, b""


def write_cell_results(task: ResultsTask) -> None:
    """Copy or convert the recording of a cell, and add the tables to the copy."""
    sources = {path.resolve() for path in task.cell.paths.values()}
    if task.target.resolve() in sources:
        raise CellFailed("would be replaced by its own copy: choose another folder")
    with atomic_path(task.target) as temporary:
        _copy_recording(task, temporary)
        tables = _make_tables(task)
        try:
            with h5py.File(temporary, "r+", locking=False) as file:
                module = _open_module(file)
                for name, columns in tables.items():
                    _write_table(module, _PREFIX + name, _TITLES[name], columns)
        except guard.BROKEN as error:
            raise CellFailed(f"cannot be extended: {guard.describe_error(error)}") from error


def _copy_recording(task: ResultsTask, copy: Path) -> None:
    (first, *others) = task.cell.paths.values()
    if others or task.cell.waves or not content_of(first).startswith("NWB 2"):
        write_converted(task.cell, task.stamps, copy)
        return
    shutil.copyfile(first, copy)
    copy.chmod(0o644)
    if sha256_of(copy) != task.stamps[0].sha256:
        raise CellFailed("changed since it was measured: run it again once it is complete")


def _make_tables(task: ResultsTask) -> dict[str, list[TableColumn]]:
    recording = read_cell(task.cell, task.stamps)
    analysis = analyse(recording)
    used: set[int] = set()
    features: dict[str, float] = {}
    try:
        sound = keep_sound(analysis, task.settings.quality)
        used = {id(each.sweep) for each in sound.sweeps}
        features = measure_features(sound, lengths_s=task.settings.feature_steps_s).values
    except CellExcluded:
        # The tables of sweeps and of the prediction say it all the same.
        pass
    tables = {
        "sweeps": _list_sweeps(analysis, used),
        "features": _list_features(features),
        "class_probabilities": _list_probabilities(task.answer),
        "prediction": _list_facts(task),
    }
    return {name: columns for name, columns in tables.items() if columns[0].values}


def _list_sweeps(analysis: Analysis, used: set[int]) -> list[TableColumn]:
    measured = measure_sweeps(analysis)

    def column(name: str, description: str, values: Sequence[object]) -> TableColumn:
        return TableColumn(name=name, description=description, values=values)

    def numbers(name: str, description: str) -> TableColumn:
        return column(name, description, [float(getattr(each, name)) for each in measured])

    return [
        column("sweep_number", "number of the sweep", [each.sweep.number for each in measured]),
        column("stimulus", "kind of the stimulus", [each.stimulus for each in measured]),
        column(
            "is_used",
            "whether the sweep passed the quality rules",
            [id(each.sweep) in used for each in measured],
        ),
        numbers("amplitude_pa", "amplitude of the step relative to the holding current, pA"),
        numbers("holding_pa", "holding current, pA"),
        numbers("onset_s", "begin of the stimulus since the first sample of the sweep, s"),
        numbers("duration_s", "length of the stimulus, s"),
        column("spike_count", "number of spikes", [len(each.spike_times_s) for each in measured]),
        numbers("rate_per_s", "spikes per second of a long square"),
        numbers("latency_s", "time from the onset to the first spike, s"),
        numbers("mean_interval_ms", "mean interval between spikes, ms"),
        *_list_first_spikes(measured),
        column(
            "spike_times",
            "times of the spike thresholds since the first sample of the sweep, s",
            [each.spike_times_s for each in measured],
        ),
    ]


def _list_first_spikes(measured: Sequence[MeasuredSweep]) -> list[TableColumn]:
    values = {
        "threshold_mv": ("threshold", lambda spikes: spikes.threshold_v),
        "peak_mv": ("peak", lambda spikes: spikes.peak_v),
        "trough_mv": ("trough", lambda spikes: spikes.trough_v),
        "width_ms": ("width at half height", lambda spikes: spikes.width_ms),
    }
    return [
        TableColumn(
            name=f"first_spike_{name}",
            description=f"{what} of the first spike, {name.rpartition('_')[2]}",
            values=[each.first(value) for each in measured],
        )
        for name, (what, value) in values.items()
    ]


def _list_features(features: Mapping[str, float]) -> list[TableColumn]:
    return [
        TableColumn(name="feature", description="name of the feature", values=list(features)),
        TableColumn(name="value", description="value in its unit", values=list(features.values())),
        TableColumn(
            name="unit",
            description='unit, "" for a ratio',
            values=[UNITS.get(name, "") for name in features],
        ),
    ]


def _list_probabilities(answer: StatedResults) -> list[TableColumn]:
    columns = [
        TableColumn(name="label", description="class", values=list(answer.probabilities)),
        TableColumn(
            name="probability",
            description="probability of the class",
            values=list(answer.probabilities.values()),
        ),
    ]
    if answer.prediction_set is not None:
        members = [label in answer.prediction_set for label in answer.probabilities]
        columns.append(
            TableColumn(
                name="in_set", description="whether the set contains the class", values=members
            )
        )
    return columns


def _list_facts(task: ResultsTask) -> list[TableColumn]:
    digests = {stamp.file: stamp.sha256 for stamp in task.stamps}
    facts = {
        **task.answer.facts,
        "source_sha256": json.dumps(digests),
        "software": f"spike-train-scalograms {__version__}",
    }
    return [
        TableColumn(name="fact", description="what is stated", values=list(facts)),
        TableColumn(name="value", description="what it is", values=list(facts.values())),
    ]


def _open_module(file: Any) -> Any:
    """Return the group for the tables; a link that leads out of the file is refused."""
    group = file
    for name in ("processing", MODULE):
        found = guard.member(group, name)
        if found is None:
            found = group.create_group(name)
            if name == MODULE:
                found.attrs.update(_type_of("ProcessingModule", "core"))
                found.attrs["description"] = "results of intracellular electrophysiology"
        if not isinstance(found, h5py.Group):
            raise CellFailed(f"cannot be extended: {name!r} is no group")
        group = found
    return group


def _type_of(kind: str, namespace: str) -> dict[str, str]:
    return {"neurodata_type": kind, "namespace": namespace, "object_id": str(uuid.uuid4())}


def _write_table(module: Any, name: str, title: str, columns: Sequence[TableColumn]) -> None:
    """Write a DynamicTable of hdmf-common."""
    if module.get(name, getlink=True) is not None:
        del module[name]
    table = module.create_group(name)
    table.attrs.update(_type_of("DynamicTable", "hdmf-common"))
    table.attrs["description"] = title
    table.attrs["colnames"] = np.array([column.name for column in columns], dtype=TEXT)
    ids = table.create_dataset("id", data=np.arange(len(columns[0].values)))
    ids.attrs.update(_type_of("ElementIdentifiers", "hdmf-common"))
    for column in columns:
        values = _flatten(column) if column.is_ragged else _pack(column.values)
        data = table.create_dataset(column.name, data=values)
        data.attrs.update(_type_of("VectorData", "hdmf-common"))
        data.attrs["description"] = column.description
        if column.is_ragged:
            ends = np.cumsum([len(np.ravel(np.asarray(value))) for value in column.values])
            index = table.create_dataset(f"{column.name}_index", data=np.uint64(ends))
            index.attrs.update(_type_of("VectorIndex", "hdmf-common"))
            index.attrs["description"] = f"the end of each row in {column.name}"
            index.attrs["target"] = data.ref


def _flatten(column: TableColumn) -> Floats:
    flat: Floats = np.concatenate([np.ravel(np.asarray(value)) for value in column.values])
    return flat


def _pack(values: Sequence[object]) -> Any:
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=TEXT)
    return np.array(values)
