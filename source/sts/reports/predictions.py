"""`predictions.csv`: what a run says of each cell, and what the cell is known to be."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.bounds import shorten
from sts.base.errors import StsError, one_of
from sts.base.files import read_csv, write_csv
from sts.evaluation.predictions import UNKNOWN, Predictions

COLUMNS: Final = ("specimen_id", "dataset", "truth", "prediction")
# Only where the donor of some cell is known.
DONOR: Final = "donor_id"
# In front of the name of a class: the column of its probabilities.
PREFIX: Final = "probability_"


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a row a cell; an unknown class, data set or donor stays empty."""
    donor = [DONOR] if (predictions.donors != "").any() else []
    columns = [*COLUMNS, *donor, *(PREFIX + name for name in predictions.classes)]
    rows = ({name: row[name] for name in columns} for row in _rows(predictions))
    write_csv(path, columns, rows)


def _rows(predictions: Predictions) -> Iterator[dict[str, object]]:
    classes = predictions.classes
    cells = zip(
        predictions.specimen_id.tolist(),
        predictions.dataset.tolist(),
        predictions.donors.tolist(),
        predictions.truth.tolist(),
        predictions.prediction.tolist(),
        predictions.probabilities.tolist(),
        strict=True,
    )
    for specimen_id, dataset, donor, truth, prediction, probabilities in cells:
        yield {
            "specimen_id": specimen_id,
            "dataset": dataset,
            DONOR: donor,
            "truth": None if truth == UNKNOWN else classes[truth],
            "prediction": classes[prediction],
        } | {PREFIX + name: value for name, value in zip(classes, probabilities, strict=True)}


def read_predictions(path: str | Path) -> Predictions:
    """Return what `write_predictions` has written, the numbers to the last digit."""
    path = Path(path)
    rows = read_csv(path, COLUMNS)
    if not rows:
        raise StsError(f"no cell in {path}: write it again")
    classes = tuple(name.removeprefix(PREFIX) for name in rows[0] if name.startswith(PREFIX))
    if not classes:
        raise StsError(f"no column {PREFIX}... in {path}: one for each class is wanted")
    try:
        predictions = Predictions(
            specimen_id=np.array([row["specimen_id"] for row in rows]),
            dataset=np.array([row["dataset"] for row in rows]),
            truth=np.array([_index(row, "truth", classes) for row in rows]),
            probabilities=np.array([_probabilities(row, classes) for row in rows]),
            classes=classes,
            donor_id=np.array([row[DONOR] for row in rows]) if DONOR in rows[0] else None,
        )
        _check(rows, predictions)
    except StsError as error:
        raise StsError(f"{path}: {error}") from error
    return predictions


def _index(row: Mapping[str, str], column: str, classes: tuple[str, ...]) -> int:
    if not row[column]:
        return UNKNOWN
    what = f"{column} of specimen {row['specimen_id']}"
    return classes.index(one_of(row[column], classes, what))


def _probabilities(row: Mapping[str, str], classes: tuple[str, ...]) -> list[float]:
    try:
        return [float(row[PREFIX + name]) for name in classes]
    except ValueError as error:
        raise StsError(
            f"a probability of specimen {row['specimen_id'][:80]} is not a number: "
            f"{shorten(str(error))}"
        ) from error


def _check(rows: Sequence[Mapping[str, str]], predictions: Predictions) -> None:
    """Refuse a prediction that is not the most probable class: one of both was edited."""
    classes = predictions.classes
    for row, probabilities in zip(rows, predictions.probabilities, strict=True):
        said = _index(row, "prediction", classes)
        if said == UNKNOWN or probabilities[said] < probabilities.max():
            raise StsError(
                f"specimen {row['specimen_id']} is predicted as {row['prediction']!r} where "
                f"{classes[int(probabilities.argmax())]!r} is more probable: write it again"
            )
