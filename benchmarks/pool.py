"""Simulate neurons of populations, read the real cells, and scale the features of both."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from likeness import FALL, FEATURES, HEIGHT, add_differences
from sts.base.errors import CellExcluded
from sts.base.parallel import map_unordered, worker_count
from sts.base.types import CLASSES
from sts.recordings.simulated import populations as table
from sts.recordings.simulated.cells import DATASETS, Entry, recording_of
from sts.recordings.simulated.neuron import BENCHES, Unfit, make_neuron, record_long_squares
from sts.signals.analysis import analyse
from sts.signals.features import measure_features

Name = tuple[str, str]
NAMES = [(dataset, label) for dataset in DATASETS for label in CLASSES]
NEURONS_A_TASK = 25
SHORT_ONSET_S = 0.35

# Features by which cells are matched besides the eleven, with their weights.
CONTEXT = {
    "vrest": 0.6,
    "vm_for_sag": 0.5,
    "threshold_v_long_square": 0.8,
    "slow_fall": 0.6,
    "threshold_t_long_square": 0.6,
}
MEASURED = (
    "vrest",
    "vm_for_sag",
    "threshold_v_long_square",
    "peak_v_long_square",
    "fast_trough_v_long_square",
    "trough_v_long_square",
    "threshold_t_long_square",
)
WEIGHTS = np.array([1.0] * len(FEATURES) + list(CONTEXT.values()))
LOGARITHMS = ("threshold_i_long_square", "tau", "ri", "latency", "avg_isi")
LOGARITHMS += ("upstroke_downstroke_ratio_long_square", "threshold_t_long_square")
ROOTS = ("f_i_curve_slope", "sag", "slow_fall")


def scale_features(frame: pd.DataFrame) -> np.ndarray:
    """Return the features for matching cells, (cells, features), each nearly normal."""
    frame = frame.assign(
        slow_fall=frame["fast_trough_v_long_square"] - frame["trough_v_long_square"],
        adaptation=np.arcsinh(frame["adaptation"] / 0.02),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in LOGARITHMS:
            frame[name] = np.log(frame[name])
        for name in ROOTS:
            frame[name] = np.sqrt(np.maximum(frame[name], 0))
    features = frame[[*FEATURES, *CONTEXT]].to_numpy(float)
    return np.where(np.isfinite(features), features, np.nan)


def read_real(folder: Path) -> pd.DataFrame:
    """Return the features of the published cells with class and data set."""
    named = pd.read_csv(
        folder / "cell_types_GouwensAll_new.txt", sep=" ", names=["label", "id"], dtype=str
    )
    labels = dict(zip(named["id"], named["label"], strict=True))
    frames = []
    for dataset, key, onset_s in (
        ("PatchClamp", "specimen_id", 1.02),
        ("PatchSeq", "cell_specimen_id", 0.5),
    ):
        frame = pd.read_csv(folder / "Split" / f"{dataset}_EP_features.csv", dtype={key: str})
        frame = frame.drop_duplicates(key)
        frame["threshold_t_long_square"] -= onset_s
        frames.append(frame.assign(label=frame[key].map(labels), dataset=dataset))
    return add_differences(pd.concat(frames, ignore_index=True))


class Drawn(NamedTuple):
    """Simulated neurons: transformed parameters and scaled features, NaN where they are unfit."""

    parameters: np.ndarray
    frame: pd.DataFrame
    features: np.ndarray

    def usable(self) -> "Drawn":
        """Return the neurons that fire a second spike train."""
        some = self.frame["latency"].notna().to_numpy()
        return Drawn(self.parameters[some], self.frame[some], self.features[some])


class Task(NamedTuple):
    """A few neurons for one process."""

    neurons: list[table.Parameters]
    name: Name
    seed: tuple[int, ...]


def measure_neurons(task: Task) -> list[dict[str, float]]:
    """Return the features of each neuron; an unfit neuron has none."""
    dataset, label = task.name
    entry = Entry(index=0, member=0, label=label, dataset=dataset, specimen_id="", donor_id="")
    # No feature depends on the time before the step, and a shorter one is faster.
    bench = replace(BENCHES[dataset], onset_s=SHORT_ONSET_S)
    rows = []
    for place, neuron in enumerate(task.neurons):
        seed = (*task.seed, place)
        try:
            _, recorded = record_long_squares(make_neuron(neuron, seed=seed, bench=bench))
            rows.append(measure_features(analyse(recording_of(entry, recorded))).values)
        except (Unfit, CellExcluded):
            rows.append({})
    return rows


def draw_neurons(
    populations: table.Populations, standard: dict[Name, np.ndarray], *, seed: int
) -> dict[Name, Drawn]:
    """Simulate the neurons of standard normal numbers (neurons, parameters)."""
    parameters, tasks = {}, []
    for number, name in enumerate(NAMES):
        population = populations.by_name[name]
        root = np.linalg.cholesky(population.covariance)
        parameters[name] = populations.within(population.mean + standard[name] @ root.T)
        neurons = populations.natural(parameters[name])
        tasks += [
            Task(neurons[first : first + NEURONS_A_TASK], name, (seed, number, first))
            for first in range(0, len(neurons), NEURONS_A_TASK)
        ]
    rows = dict(map_unordered(measure_neurons, tasks, workers=worker_count(None)))
    drawn = {}
    for name in NAMES:
        places = [place for place, task in enumerate(tasks) if task.name == name]
        frame = pd.DataFrame([row for place in places for row in rows[place]])
        frame = add_differences(
            frame.reindex(columns=sorted({*FEATURES, *MEASURED} - {HEIGHT, FALL}))
        )
        drawn[name] = Drawn(parameters[name], frame, scale_features(frame))
    return drawn
