"""Sound files of every kind of text that this program reads, each with its reader."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sts.base.errors import StsError
from sts.base.files import write_csv, write_json
from sts.base.settings import to_dict
from sts.datasets.ep_tables import read_ep_table
from sts.datasets.labels import read_labels
from sts.datasets.splits import find_split, read_split_file, split_of
from sts.datasets.table import read_features
from sts.evaluation.predictions import Predictions
from sts.networks.settings import TrainSettings
from sts.reports.predictions import read_predictions, write_predictions
from sts.studies.classify.networks.training import read_network_settings
from sts.studies.classify.tables.settings import read_table_settings
from sts.tabular.checkpoint import load_baseline, save_baseline
from sts.tabular.models import find_kind
from sts.tabular.trees import load_trees
from tests.base.text_mutator import spoil
from tests.datasets.ep_worlds import make_table, write_own
from tests.tabular.test_checkpoint import NAMES, make_model

Read = Callable[[Path], Any]


def write_bases(folder: Path) -> dict[str, tuple[Path, Read]]:
    """Write a sound file of each kind; return it with what reads such a file."""
    table = make_table(60)
    model = folder / "model"
    save_baseline(model, make_model())
    labels, split = folder / "labels.csv", folder / "ids.csv"
    lines = list(zip(table.specimen_id.tolist(), table.label.tolist(), strict=True))
    write_csv(
        labels,
        ("specimen_id", "label"),
        ({"specimen_id": name, "label": label} for name, label in lines),
    )
    split.write_text("".join(f"{1000 + at},Seq\n" for at in range(60)))
    own = folder / "own"
    own.mkdir()
    features = write_own(own, table)
    split_of(table, own)
    settings, trees = folder / "settings.json", folder / "trees.json"
    write_json(settings, to_dict(TrainSettings()))
    write_json(trees, {"num_leaves": 31, "learning_rate": 0.06, "n_estimators": 20})
    predictions = folder / "predictions.csv"
    write_predictions(predictions, _predictions(table))
    return {
        "model.txt": (model / "model.txt", _use_trees),
        "model.json": (model / "model.json", lambda path: load_baseline(path.parent)),
        "labels": (labels, read_labels),
        "table": (features, read_ep_table),
        "features": (features, read_features),
        "split": (own / "split.json", lambda path: find_split(path.parent)),
        "published split": (split, read_split_file),
        "settings of networks": (settings, lambda p: read_network_settings(p, TrainSettings())),
        "settings of trees": (trees, lambda path: read_table_settings(path, find_kind("lightgbm"))),
        "predictions": (predictions, read_predictions),
    }


def _predictions(table: Any) -> Predictions:
    n = len(table.specimen_id)
    likely = np.random.default_rng(0).dirichlet(np.ones(4), n)
    return Predictions(
        specimen_id=table.specimen_id,
        dataset=table.dataset,
        truth=table.truth,
        probabilities=likely,
    )


def _use_trees(path: Path) -> None:
    """Load trees as a model does and call cells with them, missing values among these."""
    trees = load_trees(path, path.read_bytes(), NAMES)
    cells = np.random.default_rng(0).normal(size=(20, len(NAMES)))
    cells[::3, ::2] = np.nan
    trees.decision_function(cells)
    trees.booster_.predict(cells, pred_contrib=True, num_threads=1)


def read_mutants(
    path: Path, read: Read, *, count: int, seed: int, longest_s: float = 10.0
) -> dict[str, Any]:
    """Spoil a file again and again; return how its reader ended, and raise where it failed.

    A line in words is an end; an exception of another kind, a crash and a wait are not.
    """
    sound = path.read_bytes()
    read(path)
    ends: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        content, way = spoil(sound, np.random.default_rng([seed, number]))
        path.write_bytes(content)
        begin = time.perf_counter()
        try:
            read(path)
            ends["read"] += 1
        except StsError as error:
            ends["refused"] += 1
            assert "\n" not in str(error), (number, way, str(error))
            assert len(str(error)) < 2000, (number, way)
        except Exception as error:
            raise AssertionError(f"mutant {number} ({way}): {error!r}") from error
        slowest = max(slowest, time.perf_counter() - begin)
        assert slowest < longest_s, f"mutant {number} ({way}) took {slowest:.1f} s"
    path.write_bytes(sound)
    return {"files": count, **ends, "slowest_s": round(slowest, 2)}
