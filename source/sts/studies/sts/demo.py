"""A study that fits into minutes: simulated cells, small images, few trials."""

import logging
from pathlib import Path
from typing import Any, Final

from sts.cells.store import write_store
from sts.networks.backbones import Architecture
from sts.networks.settings import TrainSettings
from sts.recordings.simulated.cells import simulate_cells
from sts.studies.data.products import PRODUCTS
from sts.studies.data.simulate import simulated_store
from sts.studies.sts.settings import TrainJob, make_job

logger = logging.getLogger("sts")

CELLS: Final = "cells"
COUNT: Final = 240
IMAGE_SIZE: Final = {1: 112, 2: 128, 3: 112, 4: 112}
# Random weights need a rate that rises and falls, and the small network needs more of it.
EPOCHS: Final = {1: 8, 2: 8, 3: 8, 4: 14}
RATE: Final = {1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 3e-3}


def ensure_cells(data: Path) -> None:
    """Simulate the demo's cells unless they are there."""
    path = data / PRODUCTS["store"]
    if path.is_file():
        return
    logger.info("simulating %d cells", COUNT)
    write_store(path, simulated_store(simulate_cells(COUNT, seed=0, protocol="long")))


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
