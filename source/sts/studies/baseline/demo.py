"""A study that fits into two minutes: the features of simulated cells, and few trials."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sts.base.errors import CellExcluded
from sts.base.progress import progress
from sts.datasets.ep_tables import OWN_TABLE
from sts.datasets.table import FeatureRow, write_features
from sts.recordings.simulated.cells import simulate_cells
from sts.recordings.simulated.roster import DEMO_SEED
from sts.signals.analysis import analyse
from sts.signals.features import measure_features

logger = logging.getLogger("sts")

COUNT: Final = 400


def ensure_table(data: Path) -> None:
    """Simulate the demo's cells under all stimuli and measure them, unless that is done."""
    path = data / OWN_TABLE
    if path.is_file():
        return
    logger.info("simulating and measuring %d cells", COUNT)
    write_features(path, list(_rows(COUNT)))


def _rows(count: int) -> Iterator[FeatureRow]:
    with progress(count, "simulated cells") as bar:
        for cell in simulate_cells(count, seed=DEMO_SEED, protocol="full"):
            row = FeatureRow(
                specimen_id=cell.recording.specimen_id,
                donor_id=cell.recording.donor_id,
                label=cell.label,
                dataset=cell.dataset,
            )
            try:
                measured = measure_features(analyse(cell.recording))
                yield _filled(row, measured.values, measured.notes)
            except CellExcluded as error:
                logger.warning("%s is left out: %s", row.specimen_id, error)
            bar.advance()


def _filled(row: FeatureRow, values: dict[str, float], notes: tuple[str, ...]) -> FeatureRow:
    return FeatureRow(
        specimen_id=row.specimen_id,
        donor_id=row.donor_id,
        label=row.label,
        dataset=row.dataset,
        values=values,
        notes=notes,
    )
