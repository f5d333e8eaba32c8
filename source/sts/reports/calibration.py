"""What is said of a model's calibration, on the terminal and on its page."""

import logging

from sts.base.runs import Run
from sts.evaluation.calibration import Calibration
from sts.figures.calibration import draw_reliability
from sts.reports.blocks import Picture, Section

logger = logging.getLogger("sts")


def say_calibration(calibration: Calibration) -> None:
    """Leave a line in the log, a warning where no temperature is applied."""
    level = logging.INFO if calibration.is_applied else logging.WARNING
    logger.log(level, "%s", calibration.in_words())


def calibration_section(run: Run, calibration: Calibration) -> Section:
    """Draw how often a model is right by how sure it is, and say which temperature is applied."""
    after = calibration.after if calibration.is_applied else None
    figure = draw_reliability(
        run.figures / "calibration",
        calibration.before,
        after=after,
        temperature=None if after is None else calibration.temperature,
    )
    caption = "Cells that were kept aside: how often it is right, by how sure it is."
    return Section("Calibration", [calibration.in_words(), Picture(files=figure, caption=caption)])
