"""An estimate of the time of a benchmark before it starts, from times of its parts."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from sts.augment.contract import GENERATORS
from sts.augment.evaluate import GUESSES, INNER_FOLDS
from sts.augment.grid import REAL_NEURONS, THRESHOLDS, UNLABELLED
from sts.studies.augment.settings import Job
from sts.studies.augment.work import ItemPlan
from sts.tabular.classifiers import CLASSIFIERS, VOTE

# Seconds of processor time of each classifier with 9,746 training rows (task E, 500 rows added to
# each class), as `benchmarks/augment.py` measured them on one core.
FIT_S: Final[Mapping[str, float]] = {
    "svm": 0.34,
    "mlp": 0.88,
    "tree": 0.32,
    "forest": 4.33,
    "naive-bayes": 0.09,
    "lda": 0.11,
    "logistic": 0.18,
    "extra-trees": 1.49,
    "lightgbm": 3.24,
}
FIT_ROWS: Final = 9746
# Power of the number of rows with which these times grow; trees draw a limited number of rows.
GROWTH: Final = 0.85
# Seconds to fit a generator, and to generate a million rows.
GENERATOR_S: Final[Mapping[str, tuple[float, float]]] = {
    "gan": (10.8, 7.0),
    "vae": (10.9, 8.0),
    "flow": (2.2, 47.0),
    "ddpm": (2.9, 66.0),
    "arf": (5.0, 20.0),
}
OTHER_GENERATOR_S: Final = (0.1, 4.0)
# Seconds to measure fidelity once.
FIDELITY_S: Final = 4.0
# Seconds of the fit by which machines are compared, on the core of the times above.
REFERENCE_S: Final = 0.065


def estimate_seconds(job: Job, plans: Sequence[ItemPlan]) -> float:
    """Return the processor time that the remaining work needs on a core like this one, in seconds.

    Rough: half or twice as much is possible.
    """
    seconds = sum(_estimate_item(job, plan) for plan in plans)
    return seconds * _time_reference() / REFERENCE_S if seconds else 0.0


def describe_time(seconds: float) -> str:
    """Return a time in hours or minutes, rounded as a rough estimate is."""
    if seconds < 60:
        return "less than a minute"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _time_reference() -> float:
    """Return the seconds of a small fit that is always the same; the shortest of three."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4000, 20)), rng.integers(0, 8, 4000)
    times = []
    for _ in range(3):
        begin_s = time.process_time()
        DecisionTreeClassifier(max_depth=12, random_state=0).fit(X, y)
        times.append(time.process_time() - begin_s)
    return min(times)


def _estimate_item(job: Job, plan: ItemPlan) -> float:
    item = plan.item
    classes = int((item.neurons.counts() > 0).sum())
    lent = len(item.borrowed) if item.borrowed is not None and item.method in REAL_NEURONS else 0
    real = len(item.division.fit) + lent
    keys = plan.missing
    seconds: float = sum(
        FIT_S[key.classifier] * ((key.part * real + classes * key.added) / FIT_ROWS) ** GROWTH
        for key in keys
        if key.classifier != VOTE
    )
    if item.method == THRESHOLDS:
        seconds *= 1 + INNER_FOLDS
    if item.method == UNLABELLED:
        seconds *= 1 + GUESSES
    if job.tune and keys:
        trials = {name: 1 + len(kind.candidates) for name, kind in CLASSIFIERS.items()}
        seconds += INNER_FOLDS * sum(
            number * FIT_S[name] * (real / FIT_ROWS) ** GROWTH
            for name, number in trials.items()
            if name in job.classifiers
        )
    seconds += FIDELITY_S if plan.measure else 0.0
    if item.method in GENERATORS and GENERATORS[item.method].adds_rows:
        fit_s, million_s = GENERATOR_S.get(item.method, OTHER_GENERATOR_S)
        rows = classes * sum({key.added for key in keys})
        seconds += fit_s + million_s * rows / 1e6
    return seconds
