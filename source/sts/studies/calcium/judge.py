"""What the best model is chosen by: the validation stretch, never the test stretch."""

from sts.base.types import Floats
from sts.calcium.compare import compare, edges_of, score_of
from sts.studies.calcium.source import Cohort


class Judge:
    """Scores generated windows by the validation stretch, with what the report judges by."""

    def __init__(self, cohort: Cohort) -> None:
        self._cohort = cohort
        self.count = len(cohort.windows("validation"))
        self._edges = edges_of(cohort.measured(cohort.windows("training")))
        self._real = cohort.measured(cohort.windows("validation"))

    def __call__(self, windows: Floats) -> float:
        """Return how unlike the validation windows these are; lower is better."""
        return score_of(compare(self._real, self._cohort.measured(windows), self._edges))
