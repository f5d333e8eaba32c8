"""Learning curves are power laws, and say how many neurons an augmentation is worth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.augment.grid import CURVE, divide_neurons
from sts.augment.tasks import load_task
from sts.base.errors import StsError
from sts.studies.augment.planning import PowerLaw, make_forecasts
from sts.studies.augment.results import Results, compare_with_baseline
from tests.studies.augment.worlds import job_of, made_workspace


def test_the_law_of_a_curve_is_found_and_says_how_many_more_neurons_a_gain_needs() -> None:
    neurons = np.array([100.0, 200.0, 300.0, 400.0, 500.0])
    truth = PowerLaw(limit=0.9, drop=2.0, rate=0.5)
    law = PowerLaw.fit(neurons, truth.at(neurons))
    # Exponents are tried in steps of 6 %.
    assert (law.limit, law.rate) == pytest.approx((0.9, 0.5), rel=0.05)
    assert law.at(1000.0) == pytest.approx(float(truth.at(1000.0)), abs=0.005)
    gain = float(truth.at(800.0) - truth.at(500.0))
    assert truth.find_more(500.0, gain) == pytest.approx(300.0)
    assert law.find_more(500.0, gain) == pytest.approx(300.0, rel=0.1)
    assert truth.find_more(500.0, -0.1) == 0.0
    assert truth.find_more(500.0, 0.5) == np.inf
    assert np.isnan(truth.find_more(500.0, np.nan))


def test_a_curve_neither_falls_nor_ends_above_1() -> None:
    neurons = np.array([10.0, 20.0, 40.0, 80.0])
    falling = PowerLaw.fit(neurons, np.array([0.8, 0.7, 0.6, 0.5]))
    assert (falling.drop, falling.limit) == pytest.approx((0.0, 0.65))
    assert falling.find_more(80.0, 0.01) == np.inf
    steep = PowerLaw.fit(neurons, np.array([0.1, 0.3, 0.6, 0.95]))
    assert steep.limit <= 1.0


def results_of(folder: Path) -> Results:
    """Return scores that follow a power law of the neurons, and a method that is worth some."""
    task = load_task("e", made_workspace(folder).data)
    divisions = divide_neurons(task, "cv", folds=3, repeats=1, seed=0)
    rare = int(np.argmin(task.neurons.counts()))
    rows: list[dict[str, Any]] = []
    for division in divisions:
        for method, part, added in (
            *(("none", part, 0) for part in (*CURVE, 1.0)),
            ("smote", 1, 20),
        ):
            count = part * len(division.fit)
            recall = 0.8 - 4.0 * count**-0.5 + (0.05 if method == "smote" else 0.0)
            recalls = dict.fromkeys(task.neurons.classes, recall)
            if method == "smote":
                recalls[task.neurons.classes[rare]] -= 0.2
            rows.append(
                {
                    **{"method": method, "repeat": 0, "fold": division.fold, "added": added},
                    **{"part": float(part), "classifier": "lda", "macro_f1": recall},
                    **{f"recall_{name}": value for name, value in recalls.items()},
                    **{"train_rows": len(division.fit), "scored_rows": len(division.scored)},
                }
            )
    return Results(
        job=job_of(classifiers=("lda",)),
        task=task,
        divisions=tuple(divisions),
        rows=rows,
        fidelity=[],
        samples={},
        failed={},
        gains=compare_with_baseline(rows, protocol="cv"),
    )


def test_neurons_that_bring_as_much_as_an_augmentation_are_counted(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    together, rarest, *_ = make_forecasts(results)
    size = together.neurons
    # 0.8 - 4 / sqrt(n) rises by .05 from here on.
    wanted = (4.0 / (4.0 * size**-0.5 - 0.05)) ** 2 - size
    assert together.gain == pytest.approx(0.05)
    assert together.more.value == pytest.approx(wanted, rel=0.15)
    assert together.more.low <= together.more.value * 1.01
    assert together.more.value <= together.more.high * 1.01
    assert rarest.neurons == min(each.neurons for each in make_forecasts(results))
    assert rarest.in_words() == "none: augmentation does not raise it"
    with pytest.raises(StsError, match="name a --method"):
        make_forecasts(replace(results, gains=[]))
