"""Abstention of a classifier: risk and coverage, thresholds, false alarms."""

from dataclasses import dataclass

import numpy as np

from sts.base.types import Bools, Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """The share of wrong answers among the most confident answers."""

    threshold: Floats
    """(steps,), confidences, from the highest to the lowest."""
    coverage: Floats
    """(steps,), share of cells with an answer: cells with at least this confidence."""
    risk: Floats
    """(steps,), share of wrong answers among these answers."""

    @property
    def area(self) -> float:
        """Return the mean risk over all coverages (Geifman and El-Yaniv, 2017)."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float((widths * self.risk).sum())


def risk_coverage(confidence: Floats, right: Bools) -> RiskCoverage:
    """Return the curve of risk and coverage; cells of equal confidence are one step."""
    if not len(confidence):
        raise ValueError("a curve needs at least one cell")
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))
    answered = last + 1
    wrong = np.cumsum(~right[order])[last]
    return RiskCoverage(
        threshold=ordered[last], coverage=answered / len(right), risk=wrong / answered
    )


def find_threshold(confidence: Floats, right: Bools, *, errors_dropped: float = 0.5) -> float:
    """Return a threshold with at least this share of the wrong answers below it.

    Without a wrong answer the threshold is 0.
    """
    wrong = np.sort(confidence[~right])
    count = int(np.ceil(round(errors_dropped * len(wrong), 9)))
    # An answer with a confidence equal to the threshold is given.
    return float(np.nextafter(wrong[count - 1], np.inf)) if count else 0.0


def false_alarms(known: Floats, unlike: Floats, *, recall: float = 0.95) -> float:
    """Return the share of known cells called unlike, if this share of unlike cells is detected.

    Parameters
    ----------
    known, unlike
        Novelty scores of cells that are like the training cells, and of other cells.
    """
    if not len(known) or not len(unlike):
        raise ValueError("cells of both kinds are needed")
    detected = int(np.ceil(round(recall * len(unlike), 9)))
    threshold = np.sort(unlike)[::-1][detected - 1]
    return float((known >= threshold).mean())
