"""A study that fits into minutes: simulated cells, small images, few trials."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sts.base.progress import Progress, progress
from sts.datasets.products import PRODUCTS
from sts.datasets.store import write_store
from sts.networks.backbones import Architecture
from sts.networks.settings import TrainSettings
from sts.recordings.simulated.cells import SimulatedCell, simulate_cells
from sts.recordings.simulated.roster import DEMO_SEED
from sts.studies.data.simulate import simulated_store
from sts.studies.sts.settings import TrainJob, make_job

CELLS: Final = "cells"
# Populations that overlap as real ones do take so many to be learned from random weights.
COUNT: Final = 3000
# As many pixels as 111 x 111, and spikes stay apart; InceptionV3 needs more of either side.
IMAGE_SIZE: Final = {1: (32, 384), 2: (80, 240), 3: (32, 384), 4: (32, 384)}
# Random weights need a rate that rises and falls, and the small network needs more of it.
EPOCHS: Final = {1: 4, 2: 4, 3: 4, 4: 8}
RATE: Final = {1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 3e-3}


def ensure_cells(data: Path) -> None:
    """Simulate the demo's cells unless they are there."""
    path = data / PRODUCTS["store"]
    if path.is_file():
        return
    with progress(COUNT, "simulate") as bar:
        cells = _counted(simulate_cells(COUNT, seed=DEMO_SEED, protocol="pair"), bar)
        write_store(path, simulated_store(cells))


def _counted(cells: Iterator[SimulatedCell], bar: Progress) -> Iterator[SimulatedCell]:
    for cell in cells:
        yield cell
        bar.advance()


def demo_job(architecture: Architecture, **given: Any) -> TrainJob:
    """Return a short search on small images; what is given on the command line comes first."""
    number = architecture.number
    short: dict[str, Any] = {
        "image_size": IMAGE_SIZE[number],
        "trials": 2,
        "folds": 2,
        "epochs": EPOCHS[number],
    }
    wanted = short | {name: value for name, value in given.items() if value is not None}
    base = TrainSettings(
        schedule="one_cycle", learning_rate=RATE[number], patience=EPOCHS[number], batch=32
    )
    return make_job(architecture, base=base, varied=("dropout",), **wanted)
