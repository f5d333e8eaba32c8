"""Make the populations of simulated neurons anew from the published feature tables.

    python benchmarks/calibrate.py --data FOLDER [--out populations.json] [--classes CSV]

FOLDER is laid out as the published repository's data/: cell_types_GouwensAll_new.txt and
Split/*_EP_features.csv. About 30,000 neurons are simulated, in half an hour on two cores.

First population Monte Carlo (Cappe et al., 2004): neurons are simulated, each real cell is matched
with those most similar to it, and their parameters give the next populations. Then Gauss-Newton
steps correct the medians; a step is kept if it helps.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from likeness import FEATURES, REAL, print_likeness
from pool import NAMES, WEIGHTS, Drawn, Name, draw_neurons, read_real, scale_features
from sts.base.files import read_json, write_csv, write_json
from sts.recordings.simulated import populations as table

FIRST = Path(__file__).with_name("first_populations.json")
SHIPPED = Path(table.__file__).with_name(table.POPULATIONS_FILE)


class Round(NamedTuple):
    """One round of matching."""

    neurons: int
    shared: bool
    """Whether a real cell may be matched with neurons of other populations."""
    wider: float
    """Factor by which the populations are widened before neurons are drawn."""


ROUNDS = (
    Round(500, True, 1.0),
    Round(300, True, 1.15),
    Round(300, True, 1.1),
    Round(350, False, 1.0),
    Round(350, False, 1.0),
    Round(350, False, 1.0),
)
MATCHES = 2
# The means are tuned with wide populations. So much narrower, a logistic regression on the eleven
# features confuses the classes about as often as with real cells.
TUNING_SPREAD = {"PatchClamp": 1.1, "PatchSeq": 1.3}
FINAL_SPREAD = {"PatchClamp": 0.85, "PatchSeq": 0.92}
FINAL_NEURONS = 250
TUNING_ROUNDS = 6
TUNING_NEURONS = 250
TUNING_SEED = 1000
# Like WEIGHTS, but the features beyond the eleven count less.
TUNING_WEIGHTS = np.where(WEIGHTS == 1, 1.0, 0.4)
DAMPING = 0.06
PERCENTILES = (5, 25, 50, 75, 95)


def match_cells(drawn: Drawn, real: np.ndarray) -> np.ndarray:
    """Return the parameters of the neurons that are most similar to the real cells."""
    centre = np.nanmedian(real, axis=0)
    low, high = np.nanpercentile(real, [20, 80], axis=0)
    # 1.68 deviations of a normal distribution lie between these percentiles.
    spread = (high - low) / 1.68
    wanted = np.clip((real - centre) / spread, -3, 3)
    # A feature that only the real cell has counts as four deviations.
    there = np.nan_to_num((drawn.features - centre) / spread, nan=4.0)
    chosen = []
    for cell in wanted:
        known = np.isfinite(cell)
        apart = (((there[:, known] - cell[known]) * WEIGHTS[known]) ** 2).sum(axis=1)
        chosen.append(np.argpartition(apart, MATCHES)[:MATCHES])
    return drawn.parameters[np.concatenate(chosen)]


def match_round(
    populations: table.Populations,
    real: dict[Name, np.ndarray],
    before: dict[Name, Drawn] | None,
    *,
    number: int,
) -> tuple[table.Populations, dict[Name, Drawn]]:
    """Simulate neurons; return the populations of those that match the real cells."""
    this = ROUNDS[number]
    rng = np.random.default_rng((1, number))
    size = (this.neurons, len(populations.parameters))
    standard = {name: this.wider * rng.standard_normal(size) for name in NAMES}
    drawn = {
        name: each.usable()
        for name, each in draw_neurons(populations, standard, seed=number).items()
    }
    by_name = {}
    for name in NAMES:
        sources = [drawn] if before is None else [drawn, before]
        pool = [each[other] for each in sources for other in NAMES if this.shared or other == name]
        found = match_cells(join_draws(pool), real[name])
        by_name[name] = table.Population(mean=found.mean(axis=0), covariance=np.cov(found.T))
    return replace(populations, by_name=by_name), drawn


def join_draws(pool: list[Drawn]) -> Drawn:
    """Return several draws as one."""
    return Drawn(
        np.concatenate([each.parameters for each in pool]),
        pd.concat([each.frame for each in pool]),
        np.concatenate([each.features for each in pool]),
    )


def widen_populations(populations: table.Populations, by: dict[str, float]) -> table.Populations:
    """Return the populations with all spreads of a data set multiplied."""
    by_name = {
        (dataset, label): replace(each, covariance=each.covariance * by[dataset] ** 2)
        for (dataset, label), each in populations.by_name.items()
    }
    return replace(populations, by_name=by_name)


class Aim(NamedTuple):
    """Where the medians of a population should lie, in units of the real interquartile range."""

    centre: np.ndarray
    width: np.ndarray

    def misses(self, drawn: Drawn) -> np.ndarray:
        """Return the weighted distance of each median from its aim."""
        off = (np.nanmedian(drawn.usable().features, axis=0) - self.centre) / self.width
        return np.clip(off, -3, 3) * TUNING_WEIGHTS

    def cost(self, drawn: Drawn) -> float:
        """Return the sum of the squared misses."""
        return float((self.misses(drawn) ** 2).sum())


def aim_at(real: np.ndarray) -> Aim:
    """Return an aim between the real median and the middle of the quartiles."""
    low, median, high = np.nanpercentile(real, [25, 50, 75], axis=0)
    return Aim(centre=(2 * median + low + high) / 4, width=high - low)


def step_towards(aim: Aim, drawn: Drawn, population: table.Population) -> np.ndarray:
    """Return the Gauss-Newton step of the mean, in deviations of the parameters."""
    usable = drawn.usable()
    spread = np.sqrt(np.diag(population.covariance))
    z = (usable.parameters - population.mean) / spread
    slopes = np.zeros((len(WEIGHTS), len(spread)))
    for row, values in enumerate(usable.features.T):
        known = np.isfinite(values)
        low, high = np.percentile(values[known], [2, 98])
        fit = Ridge(alpha=20.0).fit(z[known], np.clip(values[known], low, high))
        slopes[row] = fit.coef_ * TUNING_WEIGHTS[row] / aim.width[row]
    damped = slopes.T @ slopes + DAMPING * np.eye(len(spread))
    return np.linalg.solve(damped, -slopes.T @ aim.misses(drawn))


def tune(populations: table.Populations, real: dict[Name, np.ndarray]) -> table.Populations:
    """Move the means where that brings the medians nearer to the real ones."""
    rng = np.random.default_rng(2)
    # The same random numbers in every round, so that only the means change.
    size = (TUNING_NEURONS, len(populations.parameters))
    standard = {name: rng.standard_normal(size) for name in NAMES}
    aims = {name: aim_at(real[name]) for name in NAMES}
    best = draw_neurons(populations, standard, seed=TUNING_SEED)
    reach = dict.fromkeys(NAMES, 0.4)
    for number in range(TUNING_ROUNDS):
        tried = {}
        for name in NAMES:
            old = populations.by_name[name]
            step = step_towards(aims[name], best[name], old)
            step *= min(1.0, reach[name] / np.abs(step).max())
            mean = old.mean + step * np.sqrt(np.diag(old.covariance))
            tried[name] = replace(old, mean=mean)
        drawn = draw_neurons(replace(populations, by_name=tried), standard, seed=TUNING_SEED)
        for name in NAMES:
            better = aims[name].cost(drawn[name]) < aims[name].cost(best[name])
            reach[name] *= 1.3 if better else 0.4
            if better:
                populations.by_name[name], best[name] = tried[name], drawn[name]
        costs = (f"{aims[name].cost(best[name]):.2f}" for name in NAMES)
        print(f"tuning {number}:", *costs, flush=True)
    return populations


def show_likeness(populations: table.Populations, real: pd.DataFrame) -> None:
    """Simulate new neurons and compare them with the real cells."""
    rng = np.random.default_rng(3)
    size = (FINAL_NEURONS, len(populations.parameters))
    drawn = draw_neurons(
        populations, {name: rng.standard_normal(size) for name in NAMES}, seed=2000
    )
    frames = [
        each.usable().frame.assign(dataset=dataset, label=label)
        for (dataset, label), each in drawn.items()
    ]
    print_likeness(pd.concat(frames, ignore_index=True), real)


def write_real_classes(real: pd.DataFrame, path: Path) -> None:
    """Write the percentiles of the eleven features by data set and class."""
    rows = []
    for dataset, label in NAMES:
        cells = real[(real["dataset"] == dataset) & (real["label"] == label)]
        for feature in FEATURES:
            figures = np.nanpercentile(cells[feature], PERCENTILES)
            named = {
                f"p{percent:02d}": float(f"{figure:.5g}")
                for percent, figure in zip(PERCENTILES, figures, strict=True)
            }
            rows.append({"dataset": dataset, "label": label, "feature": feature, **named})
    write_csv(path, list(rows[0]), rows)


def to_table(populations: table.Populations, meaning: Mapping[str, str]) -> dict[str, Any]:
    """Return the table of some populations, as the product reads it, its figures rounded."""
    written: dict[str, Any] = {
        "parameters": {
            each.name: {
                "meaning": meaning[each.name],
                "scale": "log" if each.logarithmic else "linear",
                "low": each.low,
                "high": each.high,
            }
            for each in populations.parameters
        },
        "populations": {},
    }
    for (dataset, label), population in populations.by_name.items():
        written["populations"].setdefault(dataset, {})[label] = entry_of(
            population, populations.parameters
        )
    return written


def entry_of(
    population: table.Population, parameters: tuple[table.CellParameter, ...]
) -> dict[str, Any]:
    """Return median, spread and correlation of the parameters of one population."""
    spread = np.sqrt(np.diag(population.covariance))
    correlation = population.covariance / np.outer(spread, spread)
    return {
        "median": {
            each.name: float(f"{np.exp(value) if each.logarithmic else value:.4g}")
            for each, value in zip(parameters, population.mean, strict=True)
        },
        "spread": {
            each.name: round(float(value), 3)
            for each, value in zip(parameters, spread, strict=True)
        },
        # The triangle below the diagonal.
        "correlation": [
            [round(float(value), 2) for value in correlation[row, :row]]
            for row in range(len(parameters))
        ],
    }


def main() -> None:
    """Calibrate, write the table, and compare new neurons with the real cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="JSON")
    parser.add_argument("--classes", type=Path, default=REAL, metavar="CSV")
    args = parser.parse_args()
    frame = read_real(args.data)
    write_real_classes(frame, args.classes)
    features = scale_features(frame)
    real = {
        name: features[((frame["dataset"] == name[0]) & (frame["label"] == name[1])).to_numpy()]
        for name in NAMES
    }
    first = read_json(FIRST)
    populations, before = table.from_table(first), None
    for number in range(len(ROUNDS)):
        populations, before = match_round(populations, real, before, number=number)
        print(f"round {number}: {ROUNDS[number]}", flush=True)
    tuned = tune(widen_populations(populations, TUNING_SPREAD), real)
    final = widen_populations(tuned, FINAL_SPREAD)
    meaning = {name: each["meaning"] for name, each in first["parameters"].items()}
    write_json(args.out, to_table(final, meaning))
    show_likeness(final, pd.read_csv(args.classes))
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
