"""`predictions.csv`: the predicted and the true class of each cell, with probabilities.

Beside it `features.npy` may hold what a network makes of each cell before its last layer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.files import atomic_path, read_csv, write_csv
from sts.base.settings import shorten
from sts.base.types import Floats
from sts.evaluation.predictions import UNKNOWN, Predictions

PREDICTIONS: Final = "predictions.csv"
PREDICTION_COLUMNS: Final = ("specimen_id", "dataset", "truth", "prediction")
NETWORK_FEATURES: Final = "features.npy"
# Most features of a cell, and cells, that are read.
MAX_FEATURES: Final = 10_000
MAX_CELLS_READ: Final = 1_000_000
# Column of donors, in tables where at least one is known.
DONOR_COLUMN: Final = "donor_id"
# Begins the column of probabilities of a class, before its name.
PREFIX: Final = "probability_"


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a row for each cell; an unknown class, data set or donor is left empty."""
    classes = predictions.classes
    table: dict[str, list[Any]] = {
        "specimen_id": predictions.specimen_id.tolist(),
        "dataset": predictions.dataset.tolist(),
        "truth": [None if at == UNKNOWN else classes[at] for at in predictions.truth],
        "prediction": [classes[at] for at in predictions.prediction],
    }
    if (predictions.donors != "").any():
        table[DONOR_COLUMN] = predictions.donors.tolist()
    for name, column in zip(classes, predictions.probabilities.T.tolist(), strict=True):
        table[PREFIX + name] = column
    rows = (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
    write_csv(path, list(table), rows)


def write_network_features(folder: Path, features: Floats | None) -> None:
    """Write the features of the predicted cells, in the order of their table, if there are any."""
    if features is not None:
        with atomic_path(folder / NETWORK_FEATURES) as temporary:
            np.save(temporary, features.astype(np.float32), allow_pickle=False)


def read_network_features(folder: Path, cells: int) -> Floats | None:
    """Return the features of as many predicted cells (cells, features); None without the file."""
    path = folder / NETWORK_FEATURES
    if not path.is_file():
        return None
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        good = (
            features.dtype == np.float32
            and features.ndim == 2
            and len(features) == cells <= MAX_CELLS_READ
            and 0 < features.shape[1] <= MAX_FEATURES
        )
    except (OSError, ValueError, EOFError) as error:
        raise StsError(f"{path} is not an array of features: {error}") from error
    if not good:
        raise StsError(
            f"{path} has {features.dtype} of shape {features.shape}: the {cells} predicted cells "
            f"of {PREDICTIONS} need float32, a row for each; run the model again"
        )
    return np.asarray(features, dtype=np.float64)


def read_predictions(path: str | Path) -> Predictions:
    """Read a table of `write_predictions`; numbers keep their last digit."""
    path = Path(path)
    rows = read_csv(path, PREDICTION_COLUMNS)
    if not rows:
        raise StsError(f"no cell in {path}: write it again")
    classes = tuple(name.removeprefix(PREFIX) for name in rows[0] if name.startswith(PREFIX))
    if not classes:
        raise StsError(f"no column {PREFIX}... in {path}: one for each class is needed")
    try:
        predictions = Predictions(
            specimen_id=np.array([row["specimen_id"] for row in rows]),
            dataset=np.array([row["dataset"] for row in rows]),
            truth=np.array([_find_class(row, "truth", classes) for row in rows]),
            probabilities=np.array([_read_probabilities(row, classes) for row in rows]),
            classes=classes,
            donor_id=np.array([row[DONOR_COLUMN] for row in rows])
            if DONOR_COLUMN in rows[0]
            else None,
        )
        _check_predicted_classes(rows, predictions)
    except StsError as error:
        raise StsError(f"{path}: {error}") from error
    return predictions


def _find_class(row: Mapping[str, str], column: str, classes: tuple[str, ...]) -> int:
    if not row[column]:
        return UNKNOWN
    what = f"{column} of specimen {row['specimen_id']}"
    return classes.index(one_of(row[column], classes, what))


def _read_probabilities(row: Mapping[str, str], classes: tuple[str, ...]) -> list[float]:
    try:
        return [float(row[PREFIX + name]) for name in classes]
    except ValueError as error:
        raise StsError(
            f"a probability of specimen {row['specimen_id'][:80]} is not a number: "
            f"{shorten(str(error))}"
        ) from error


def _check_predicted_classes(rows: Sequence[Mapping[str, str]], predictions: Predictions) -> None:
    """Refuse a predicted class that is not the most probable one: the table was edited."""
    classes = predictions.classes
    for row, probabilities in zip(rows, predictions.probabilities, strict=True):
        predicted = _find_class(row, "prediction", classes)
        if predicted == UNKNOWN or probabilities[predicted] < probabilities.max():
            raise StsError(
                f"specimen {row['specimen_id']} is predicted as {row['prediction']!r} where "
                f"{classes[int(probabilities.argmax())]!r} is more probable: write it again"
            )
