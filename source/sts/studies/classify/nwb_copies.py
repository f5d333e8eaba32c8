"""Copies of the recordings that PREDICT has read, with their results as NWB tables."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sts.base.errors import StsError
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.sandbox import Limits
from sts.base.types import CLASSES
from sts.datasets.cell_results import BuildSettings
from sts.datasets.cell_types import CLASS_DEPTH
from sts.datasets.conversion import choose_targets
from sts.datasets.nwb_results import ResultsTask, StatedResults, write_in_sandbox
from sts.reports.new_cells import SEPARATOR, PredictedCell


@dataclass(frozen=True, kw_only=True)
class CopyJob:
    """The folder for the copies, and the settings with which the recordings were read."""

    folder: Path
    reading: BuildSettings
    workers: int = 0
    limits: Limits = field(default_factory=Limits)


def choose_copies(cells: Sequence[PredictedCell], folder: Path) -> dict[str, Path]:
    """Return the file of every copy by the name of the cell; none replaces a recording."""
    sources = [(cell.file, cell.source) for cell in cells if cell.source is not None]
    first = [next(iter(source.paths.values())).resolve() for _, source in sources]
    top = os.path.commonpath([path.parent for path in first]) if first else ""
    places = [path.relative_to(top) for path in first]
    pairs = [(source, place) for (_, source), place in zip(sources, places, strict=True)]
    targets = choose_targets(pairs, folder)
    taken = {path.resolve() for _, source in sources for path in source.paths.values()}
    for target in targets:
        if target.resolve() in taken:
            raise StsError(f"{target} would be replaced by its own copy: choose another folder")
    return {file: target for (file, _), target in zip(sources, targets, strict=True)}


def write_copies(
    cells: Sequence[PredictedCell],
    targets: Mapping[str, Path],
    job: CopyJob,
    model: str,
    sha256: object,
) -> tuple[str, ...]:
    """Write the copies of all recordings that were read; return why others could not be written."""
    todo = [
        (
            cell,
            ResultsTask(
                cell=cell.source,
                stamps=cell.stamps,
                target=targets[cell.file],
                settings=job.reading,
                answer=state_results(cell, model, sha256),
            ),
        )
        for cell in cells
        # What could not be read cannot be copied; the table says why.
        if cell.source is not None and cell.status != "failed"
    ]
    count = min(worker_count(job.workers), max(len(todo), 1))
    work = partial(write_in_sandbox, limits=job.limits)
    reasons: dict[int, str] = {}
    with progress(len(todo), "copies") as bar:
        for place, reason in map_unordered(work, [task for _, task in todo], workers=count):
            reasons[place] = reason
            bar.advance()
    return tuple(f"{todo[at][0].file}: {reasons[at]}" for at in sorted(reasons) if reasons[at])


def state_results(cell: PredictedCell, model: str, sha256: object) -> StatedResults:
    """Return what the tables of a copy state of a cell."""
    unlike = {None: "unknown", True: "yes", False: "no"}[cell.unlike_training]
    facts = {
        "specimen_id": cell.specimen_id,
        "status": cell.status,
        "reason": cell.reason,
        "prediction": cell.prediction,
        "unlike_training": unlike,
        **({} if cell.possible is None else {"set_coverage": str(cell.coverage)}),
        "because": SEPARATOR.join(reason.in_words() for reason in cell.because),
        "notes": SEPARATOR.join(cell.notes),
        "model": model,
        "model_sha256": json.dumps(sha256, sort_keys=True, default=str),
    }
    types = cell.types
    if types is not None:
        facts |= {name: str(value) for name, value in types.columns().items()}
    return StatedResults(
        probabilities=dict(zip(CLASSES, cell.probabilities, strict=False)),
        prediction_set=cell.possible if types is None else types.set_at(CLASS_DEPTH),
        facts=facts,
    )
