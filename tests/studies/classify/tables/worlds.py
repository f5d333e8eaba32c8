"""A small world of features, and what a run on it leaves."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.datasets.ep_worlds import make_table, write_published

CELLS = 120
LABELS = "cell_types_GouwensAll_new.txt"

QUICK = ("--features", "shared", "--trials", "2", "--folds", "2", "--workers", "1", "-q")

FIGURES = ("confusion", "calibration", "models-1", "models-2", "history", "importance_of_settings")


def make_workspace(root: Path, *, cells: int = CELLS) -> Path:
    for name in ("data", "source"):
        (root / name).mkdir(parents=True)
    write_published(root / "data", make_table(cells))
    return root


def run_of(root: Path, study: str = "baseline", what: str = "LightGBM-shared") -> Path:
    (run,) = (root / "output" / study / what).glob("*")
    assert (run / "DONE").is_file()
    return run


def report_of(root: Path) -> Any:
    """Return what a training found, less where its files are."""
    report = json.loads((run_of(root) / "report.json").read_text())
    report["model"]["data"].pop("split")
    return report


def card_of(root: Path, variant: str = "shared", kind: str = "LightGBM") -> Any:
    path = root / "models" / f"{kind}_best_models" / variant / "model.json"
    return json.loads(path.read_text())


def edit(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open() as file:
        return list(csv.DictReader(file))
