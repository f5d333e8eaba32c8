"""What is said of a model's calibration, on the terminal and on its page."""

import logging

import numpy as np

from sts.base.runs import Run
from sts.evaluation.calibration import Calibration
from sts.reports.blocks import Picture, Section
from sts.reports.figures.calibration import draw_reliability

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
        rng=np.random.default_rng(0),
        after=after,
        temperature=None if after is None else calibration.temperature,
    )
    shown = (calibration.before if after is None else after).error(np.random.default_rng(0))
    perfect = (
        f"With these {calibration.cells:,} cells, perfect calibration would show a calibration "
        f"error of {shown.perfect_mean:.3f} on the mean, and one below {shown.perfect_high:.3f} "
        "in 95 % of cases."
    )
    caption = "Cells that were kept aside: how often it is right, by how sure it is."
    return Section(
        "Calibration", [calibration.in_words(), perfect, Picture(files=figure, caption=caption)]
    )
