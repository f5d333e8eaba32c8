"""Compare simulated classes with real ones: medians, spreads, how well a model separates them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sts.base.types import CLASSES
from sts.recordings.simulated.cells import DATASETS

REAL = Path(__file__).with_name("real_classes.csv")
HEIGHT = "peak_v - threshold_v"
FALL = "threshold_v - fast_trough_v"
FEATURES = (
    "threshold_i_long_square",
    "f_i_curve_slope",
    "tau",
    "ri",
    "sag",
    "adaptation",
    "latency",
    "avg_isi",
    "upstroke_downstroke_ratio_long_square",
    HEIGHT,
    FALL,
)
# Wanted: medians and spreads of each population, and accuracy within each data set.
LEAST_MEDIANS, LEAST_SPREADS, LEAST_SPREAD = 9, 8, 0.5
ACCURACY = (0.80, 0.96)
BOOTSTRAPS = 1000


def add_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Add height and after-potential of the first spike, which do not depend on an offset."""
    threshold = frame["threshold_v_long_square"]
    return frame.assign(
        **{
            HEIGHT: frame["peak_v_long_square"] - threshold,
            FALL: threshold - frame["fast_trough_v_long_square"],
        }
    )


def compare_features(frame: pd.DataFrame, real: pd.DataFrame) -> pd.DataFrame:
    """Return for each population and feature: real quartiles, our median, ratio of the spreads."""
    rows = []
    for _, each in real.iterrows():
        cells = frame[(frame["dataset"] == each["dataset"]) & (frame["label"] == each["label"])]
        low, median, high = np.nanpercentile(cells[each["feature"]], [25, 50, 75])
        rows.append(
            {
                "dataset": each["dataset"],
                "label": each["label"],
                "cells": len(cells),
                "feature": each["feature"],
                "real p25": each["p25"],
                "real p50": each["p50"],
                "real p75": each["p75"],
                "simulated p50": median,
                "inside": bool(each["p25"] <= median <= each["p75"]),
                "spread": (high - low) / (each["p75"] - each["p25"]),
            }
        )
    return pd.DataFrame(rows)


def judge_populations(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each population how many medians and spreads are as wanted, and which are not."""
    rows = []
    for (dataset, label), each in table.groupby(["dataset", "label"], sort=False):
        wide = each["spread"] >= LEAST_SPREAD
        missed = [f"median of {name}" for name in each["feature"][~each["inside"]]]
        missed += [f"spread of {name}" for name in each["feature"][~wide]]
        passed = each["inside"].sum() >= LEAST_MEDIANS and wide.sum() >= LEAST_SPREADS
        rows.append(
            {
                "dataset": dataset,
                "label": label,
                "cells": int(each["cells"].iloc[0]),
                "medians": int(each["inside"].sum()),
                "spreads": int(wide.sum()),
                "verdict": "ok" if passed else "MISSED",
                "misses": "; ".join(missed),
            }
        )
    return pd.DataFrame(rows)


def measure_separability(frame: pd.DataFrame, *, seed: int = 0) -> dict[str, float]:
    """Return how well a logistic regression separates the classes, with a 95 % interval."""
    model = make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=2000)
    )
    truth = frame["label"].to_numpy()
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    said = cross_val_predict(model, frame[[*FEATURES]].to_numpy(float), truth, cv=folds)
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(truth == label) for label in CLASSES]
    drawn = []
    for _ in range(BOOTSTRAPS):
        sample = np.concatenate([rng.choice(each, each.size) for each in places])
        drawn.append(balanced_accuracy_score(truth[sample], said[sample]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "balanced_accuracy": float(balanced_accuracy_score(truth, said)),
        "low": float(low),
        "high": float(high),
    }


def print_likeness(frame: pd.DataFrame, real: pd.DataFrame) -> dict[str, Any]:
    """Print the comparison with the real classes, and return it."""
    table = compare_features(frame, real)
    judged = judge_populations(table)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"), end="\n\n")
    print(judged.to_string(index=False), end="\n\n")
    apart = {}
    for dataset in DATASETS:
        apart[dataset] = measure_separability(frame[frame["dataset"] == dataset])
        score, low, high = apart[dataset].values()
        verdict = "ok" if ACCURACY[0] <= score <= ACCURACY[1] else "MISSED"
        print(f"{dataset}: logistic regression {score:.3f} [{low:.3f}, {high:.3f}] {verdict}")
    return {
        "features": table.to_dict("records"),
        "populations": judged.to_dict("records"),
        "separability": apart,
    }
