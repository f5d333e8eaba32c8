"""Show sweeps of real cells to trained networks and to the released tree of types.

    python benchmarks/real_sweeps.py --rat NPZ [--allen NPZ ...] [--root output/demo]
        [--networks 1 5 5:varied] [--simulated 400] [--data DIR] [--out JSON]

All real cells are excitatory. A cell is called right, flagged as unlike the training cells, or
called wrong without a flag. The rat cells are written as NWB files, which every model reads as
PREDICT does. A cell of --allen has one sweep: PREDICT of a network of two refuses it, and here the
sweep is shown as both. Networks are NUMBER or NUMBER:NAME in the workspace --root.

Simulated cells, of seeds that no command draws, tell how many cells like those of the training are
flagged, and how often classes and prediction sets are right: once with the rigs of the demo, once
with random ones.
"""

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from gpu import describe_machine
from sts.base.files import write_json
from sts.base.types import CLASSES, Floats
from sts.datasets.cell_results import BuildSettings
from sts.datasets.demo import simulate_store
from sts.datasets.feature_sets import raw_features, with_features
from sts.datasets.store import SweepStore, load_store, write_store
from sts.evaluation.calibration import CalibrationError, calibration_error
from sts.evaluation.scores import Interval, proportion_of
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import Model, load_model, model_folder
from sts.recordings.nwb_writer import write_recording
from sts.recordings.recording import Recording, Sweep
from sts.reports.new_cells import Answers, PredictedCell, add_answers
from sts.scalograms.bank import ImageBank
from sts.signals.select import SelectSettings
from sts.studies.classify.networks.model import NetworkModel
from sts.studies.classify.stored import CellSource, find_new_features, find_new_sweeps
from sts.studies.classify.types.stored import TypedAnswers
from sts.tabular.released import load_released

RESULTS: Final = Path(__file__).resolve().parent / "results" / "real_sweeps.json"
# Seeds of the simulated cells, by the kind of their rigs.
SEEDS: Final = {"plain": 7_300_001, "varied": 7_400_001}
TRUE_CLASS: Final = "Excitatory"
TREE: Final = "released tree"
ALLEN: Final = "Allen, one sweep"
# A probability of a wrong class that no cell should have.
SURE: Final = 0.8
# The rat cells have steps of 2 s, and a second sweep at 31 to 47 pA above rheobase.
SELECT: Final = SelectSettings(max_step_s=3.0, step_tolerance_pa=10.0)
USUAL: Final = SelectSettings(max_step_s=3.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Show all cells to all models, print the tables, write the results."""
    asked = parse_arguments(argv)
    results: dict[str, Any] = {"machine": describe_machine("cpu"), "select": str(SELECT)}
    stores = {kind: ensure_simulated(asked.data, kind, asked.simulated) for kind in SEEDS}
    with tempfile.TemporaryDirectory() as folder:
        rat, one_sweep = write_cells(Path(folder), asked)
        usual, _ = find_new_sweeps(read_source(rat, USUAL), workers=1)
        results["excluded"] = [cell.reason for cell in usual if cell.status != "ok"]
        # By whether one sweep is enough: the one at rheobase is then shown as both.
        shown = {
            one: {"rat": find_new_sweeps(read_source(rat, SELECT, one_sweep=one), workers=1)}
            for one in (False, True)
        }
        results["real"] = [judge(TREE, "rat", answer_by_tree(rat))]
        if asked.allen:
            refused, _ = find_new_sweeps(read_source(one_sweep, SELECT), workers=1)
            results["one_sweep"] = [cell.reason for cell in refused]
            results["real"] += [judge(TREE, ALLEN, answer_by_tree(one_sweep))]
            alone = find_new_sweeps(read_source(one_sweep, SELECT, one_sweep=True), workers=1)
            for each in shown.values():
                each[ALLEN] = alone
    results["simulated"] = []
    for name in asked.networks:
        model = load_network(asked.root, name)
        for what, (read, sweeps) in shown[model.card.images.one_sweep].items():
            results["real"].append(judge(name, what, add_answers(read, answer(model, sweeps))))
        for kind, simulated in stores.items():
            results["simulated"].append(score_simulated(name, kind, model, simulated))
    write_json(asked.out, results)
    print_tables(results)
    return 0


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rat", type=Path, required=True, help="v_mv and i_pa of rat cells")
    parser.add_argument("--allen", type=Path, nargs="+", default=[], help="single sweeps")
    parser.add_argument("--root", type=Path, default=Path("output/demo"), help="of the networks")
    parser.add_argument("--networks", nargs="+", default=["1", "5"], metavar="NUMBER[:NAME]")
    parser.add_argument("--simulated", type=int, default=400, help="cells of a kind (default 400)")
    parser.add_argument("--data", type=Path, default=Path("output/real-sweeps"))
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the results")
    return parser.parse_args(argv)


def ensure_simulated(folder: Path, kind: str, count: int) -> SweepStore:
    """Return the store of simulated cells of a kind of rig; simulate it if it is missing."""
    path = folder / f"{kind}-{SEEDS[kind]}-{count}.h5"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_store(path, simulate_store(count, seed=SEEDS[kind], rigs=kind))
    return load_store(path)


def write_cells(folder: Path, asked: argparse.Namespace) -> tuple[Path, Path]:
    """Write the rat cells and the single sweeps as NWB files; return their two folders."""
    rat, one_sweep = folder / "rat", folder / "one-sweep"
    read = np.load(asked.rat, allow_pickle=False)
    for at, name in enumerate(read["cell"].tolist()):
        sweeps = [
            make_sweep(read["v_mv"][at, place], read["i_pa"][at, place], read["rate_hz"], place)
            for place in range(2)
        ]
        write_one(rat / f"{name}.nwb", name, sweeps, asked.rat)
    for path in asked.allen:
        write_one(one_sweep / f"{path.stem}.nwb", path.stem, [read_single(path)], path)
    return rat, one_sweep


def make_sweep(voltage_mv: Floats, current_pa: Floats, rate_hz: Any, number: int) -> Sweep:
    """Return a sweep of these arrays."""
    return Sweep(
        voltage_mv=voltage_mv.astype(np.float32),
        current_pa=current_pa.astype(np.float32),
        rate_hz=float(rate_hz),
        name="",
        number=number,
    )


def read_single(path: Path) -> Sweep:
    """Return the sweep in a file."""
    read = np.load(path, allow_pickle=False)
    return make_sweep(read["voltage_mv"], read["current_pa"], 1000 / read["dt_ms"], 0)


def write_one(path: Path, name: str, sweeps: Sequence[Sweep], source: Path) -> None:
    """Write a cell as an NWB file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = Recording(specimen_id=name, claims_id=True, sweeps=tuple(sweeps))
    write_recording(recording, path, sources={source.name: name})


def read_source(
    folder: Path, select: SelectSettings, *, features: bool = False, one_sweep: bool = False
) -> CellSource:
    """Return the recordings in a folder as the cells of PREDICT."""
    reading = BuildSettings(
        select=select, store=not features, features=features, one_sweep=one_sweep
    )
    return CellSource(recordings=(str(folder),), reading=reading)


def answer_by_tree(folder: Path) -> list[PredictedCell]:
    """Return the answers of the released tree on the features of recordings."""
    model = load_released()
    source = read_source(folder, SELECT, features=True)
    cells, table = find_new_features(source, needed=raw_features(model.card.names), workers=1)
    if table is None:
        return cells
    features = with_features(table, model.card.names)
    typed = TypedAnswers(model=model, cells=features, coverage=model.card.coverage)
    return add_answers(cells, typed.answer())


def load_network(root: Path, name: str) -> Model:
    """Return a network of the workspace by its number, or by its number and own name."""
    number, _, own = name.partition(":")
    architecture = Architecture(number=int(number), weights="none")
    folder = model_folder(root / "models", architecture, own or None)
    return load_model(folder, wanted=architecture)


def answer(model: Model, store: SweepStore) -> Answers:
    """Return the answers of a network for the cells of a store."""
    bank = ImageBank(store, model.card.images)
    return NetworkModel(model=model, bank=bank, store=store).answer()


def judge(model: str, shown: str, cells: Sequence[PredictedCell]) -> dict[str, Any]:
    """Return how many excitatory cells are called right, flagged, or called wrong unflagged."""
    answered = [cell for cell in cells if cell.prediction]
    flagged = [cell for cell in answered if cell.unlike_training]
    trusted = [cell for cell in answered if not cell.unlike_training]
    place = CLASSES.index(TRUE_CLASS)
    wrong = [max(p for k, p in enumerate(c.probabilities) if k != place) for c in answered]
    pvalb = [cell.probabilities[CLASSES.index("Pvalb")] for cell in answered]
    return {
        "model": model,
        "shown": shown,
        "cells": len(cells),
        "answered": len(answered),
        "right": sum(cell.prediction == TRUE_CLASS for cell in answered),
        "right_unflagged": sum(cell.prediction == TRUE_CLASS for cell in trusted),
        "flagged": len(flagged),
        "wrong_unflagged": sum(cell.prediction != TRUE_CLASS for cell in trusted),
        "in_set": sum(TRUE_CLASS in list_set(cell) for cell in answered),
        "largest_wrong": max(wrong, default=math.nan),
        "largest_pvalb": max(pvalb, default=math.nan),
        "each": [
            {
                "cell": cell.specimen_id,
                "status": cell.status,
                "reason": cell.reason,
                "probabilities": [round(p, 4) for p in cell.probabilities],
                "flagged": cell.unlike_training,
                "set": list_set(cell),
            }
            for cell in cells
        ],
    }


def list_set(cell: PredictedCell) -> list[str]:
    """Return the possible classes of a cell, for a tree those of its level of classes."""
    if cell.types is not None:
        (level,) = (each for each in cell.types.levels if each.level == "class")
        return list(level.chosen)
    return list(cell.possible or ())


def score_simulated(model: str, kind: str, network: Model, store: SweepStore) -> dict[str, Any]:
    """Return accuracy, calibration, sets and flags of a network on simulated cells."""
    answers = answer(network, store)
    truth = np.array([CLASSES.index(label) for label in store.label.tolist()])
    right = answers.probabilities.argmax(axis=1) == truth
    flagged = answers.distances > answers.threshold
    held = answers.sets[np.arange(len(truth)), truth]
    error = calibration_error(answers.probabilities, truth, rng=np.random.default_rng(0))
    return {
        "model": model,
        "rigs": kind,
        "cells": len(truth),
        "balanced_accuracy": float(
            np.mean([right[truth == place].mean() for place in range(len(CLASSES))])
        ),
        "accuracy": asdict(proportion_of(int(right.sum()), len(truth))),
        "calibration_error": asdict(error),
        "in_set": asdict(proportion_of(int(held.sum()), len(truth))),
        "set_size": float(answers.sets.sum(axis=1).mean()),
        "flagged": asdict(proportion_of(int(flagged.sum()), len(truth))),
        "excitatory_right": float(right[truth == CLASSES.index(TRUE_CLASS)].mean()),
    }


def print_tables(results: Mapping[str, Any]) -> None:
    """Print both tables."""
    for reason in (*results["excluded"], *results.get("one_sweep", ())):
        print(f"refused: {reason}")
    for row in results["real"]:
        print(
            f"{row['model']:14} {row['shown']:16} {row['answered']:2} of {row['cells']:2}: right "
            f"{row['right']} ({row['right_unflagged']} unflagged), flagged {row['flagged']}, wrong "
            f"unflagged {row['wrong_unflagged']}, in set {row['in_set']}; largest wrong "
            f"{row['largest_wrong']:.2f}, Pvalb {row['largest_pvalb']:.2f}"
        )
    for row in results["simulated"]:
        flagged, held = (Interval.from_dict(row[name]) for name in ("flagged", "in_set"))
        error = CalibrationError(**row["calibration_error"])
        print(
            f"{row['model']:10} {row['rigs']:7} {row['cells']} cells: balanced accuracy "
            f"{row['balanced_accuracy']:.3f}, flagged {flagged.in_words()}, in set "
            f"{held.in_words()}, {row['set_size']:.2f} classes, error {error.in_brief()}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
