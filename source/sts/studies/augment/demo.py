"""Simulated neurons for a benchmark that fits into a minute."""

import logging
from pathlib import Path

import numpy as np

from sts.augment.simulated import write_tables
from sts.augment.tasks import FILES
from sts.datasets.demo import TABLE_FOLDER, ensure_table

logger = logging.getLogger("sts")


def ensure_tables(data: Path, task: str) -> Path:
    """Return a folder of data for a task, with simulated tables unless there are some."""
    if task == "sts":
        ensure_table(data / TABLE_FOLDER)
        return data / TABLE_FOLDER
    folder = (data / FILES["e"][0]).parent
    if not (folder / "mee-type.csv").is_file():
        logger.info("made-up neurons are written to %s", folder)
        write_tables(folder, np.random.default_rng(0))
    return data
