"""The predictions of PREDICT for every kind of model: a table with one row per file, and a page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.files import write_csv
from sts.base.types import CLASSES, Bools, Floats, Ints
from sts.datasets.cell_files import CellFiles, FileStamp
from sts.datasets.cell_types import CLASS_DEPTH
from sts.reports.page import Block, Facts, Picture, Section, Table, write_page
from sts.reports.type_answers import (
    ANSWER_COLUMNS,
    NO_ANSWER,
    TYPE_COLUMNS,
    TypeAnswer,
    build_types,
    list_types,
)

# Largest number of reasons shown for a cell.
REASONS: Final = 5
# If fewer training cells than this share also lack a value, the stimulus is missing, which is not a
# property of the cell.
RARE_SHARE: Final = 0.1
SEPARATOR: Final = "; "
# The column of prediction sets on a page and on the screen.
POSSIBLE: Final = "possible"
_EXPLAINED_SETS: Final = (
    " Possible classes: sets that hold the true class of {coverage:.0%} of cells like those in "
    "training."
)
# Columns that are fields of `PredictedCell`.
IDENTITY_COLUMNS: Final = ("file", "specimen_id", "dataset", "label", "status", "reason")
DISTANCE_COLUMNS: Final = ("distance", "threshold", "lacking")
PROBABILITY_COLUMNS: Final = tuple(f"probability_{label}" for label in CLASSES)
REASON_COLUMNS: Final = tuple(f"because_{number}" for number in range(1, REASONS + 1))
NEW_CELL_COLUMNS: Final = (
    *IDENTITY_COLUMNS,
    "prediction",
    *PROBABILITY_COLUMNS,
    "prediction_set",
    "unlike_training",
    *REASON_COLUMNS,
    *DISTANCE_COLUMNS,
    "notes",
)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A feature that supports the predicted class."""

    feature: str
    words: str
    """The feature with its value and unit, such as "rheobase 210 pA"."""
    value: float
    lower: float
    """Share of the training cells with a lower value, among those with a value."""
    higher: float
    """Share with a higher value, in the same way."""
    missing: float
    """Share of the training cells without a value."""
    contribution: float
    """What the feature adds to the logit of the class."""
    label: str

    @property
    def same(self) -> float:
        """Return the share of the training cells with the same value, or also without a value."""
        if math.isnan(self.value):
            return self.missing
        return (1 - self.missing) * (1 - self.lower - self.higher)

    @property
    def is_missing_stimulus(self) -> bool:
        """Tell whether the reason is a missing stimulus, which is not a property of the cell."""
        lacks = math.isnan(self.value) or self.words.endswith(" yes")
        return lacks and self.same < RARE_SHARE

    def in_words(self) -> str:
        """Return "rheobase 210 pA, higher than 90 % of training cells: towards Pvalb"."""
        tied = not max(self.lower, self.higher)
        if math.isnan(self.value) or tied or self.words.endswith((" yes", " no")):
            comparison = f"as in {_percent(self.same)} of"
        else:
            side, share = max(
                ("higher", self.lower), ("lower", self.higher), key=lambda pair: pair[1]
            )
            comparison = f"{side} than all" if share == 1 else f"{side} than {_percent(share)} of"
        return f"{self.words}, {comparison} training cells: towards {self.label}"


def _percent(share: float) -> str:
    """Return a share in whole percents, rounded down, so that "higher than 99 %" is true."""
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{math.floor(100 * share + 1e-9)} %"


@dataclass(frozen=True, kw_only=True)
class PredictedCell:
    """One file or cell of PREDICT, and its predicted class where there is one."""

    file: str
    specimen_id: str
    status: str = "ok"
    reason: str = ""
    """Why there is no prediction, where the status is not `ok`."""
    dataset: str = ""
    label: str = ""
    """The class where it is known."""
    notes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    possible: tuple[str, ...] | None = None
    """The prediction set; None for a model without sets, and for a tree of types."""
    coverage: float = math.nan
    """Share of new cells whose set contains the true class."""
    because: tuple[Reason, ...] = ()
    """The strongest reason first; empty for a model without exact reasons."""
    distance: float = math.nan
    """From the training cells, in units that can only be compared with `threshold`."""
    threshold: float = math.nan
    """Cells at a larger distance are unlike the training cells."""
    percentile: float = math.nan
    """Percentage of training cells whose distance is below `threshold`."""
    lacking: int | None = None
    """Features that the cell lacks and nearly all training cells have."""
    lacking_threshold: float = math.nan
    """More missing features than this are unusual."""
    source: CellFiles | None = None
    """Its files, where recordings were read."""
    stamps: tuple[FileStamp, ...] = ()
    """The state of these files when they were read."""
    types: TypeAnswer | None = None
    """What a tree of types says; None for other models."""

    @property
    def prediction(self) -> str:
        """Return the most probable class, "" without a prediction."""
        places = range(len(self.probabilities))
        return CLASSES[max(places, key=self.probabilities.__getitem__)] if places else ""

    @property
    def probability(self) -> float:
        """Return the probability of the predicted class."""
        return max(self.probabilities, default=math.nan)

    def set_in_words(self) -> str:
        """Return the prediction set, "none" if it is empty, "" without one."""
        possible = self.types.set_at(CLASS_DEPTH) if self.types else self.possible
        return "" if possible is None else SEPARATOR.join(possible) or NO_ANSWER

    @property
    def lacks_much(self) -> bool:
        """Tell whether the cell lacks more features than is usual for training cells."""
        return self.lacking is not None and self.lacking > self.lacking_threshold

    @property
    def unlike_training(self) -> bool | None:
        """Tell whether the cell is unlike the training cells; None if that is not known."""
        if not self.prediction or (math.isnan(self.threshold) and self.lacking is None):
            return None
        return self.distance > self.threshold or self.lacks_much

    def warning(self) -> str:
        """Return why the prediction should not be trusted, "" if no reason is known."""
        if not self.unlike_training:
            return ""
        name = self.specimen_id or self.file
        if self.lacks_much:
            return (
                f"{name} lacks {self.lacking} features that nearly all training cells have, "
                "perhaps a whole stimulus: train a model with --features paper+isi (long squares "
                "only) and predict with it"
            )
        return (
            f"{name} looks unlike the training cells (distance {self.distance:.1f}; "
            f"{self.percentile:g} % of training cells are below {self.threshold:.1f})"
        )


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """The cells of a run of PREDICT, and its folder."""

    folder: Path
    cells: tuple[PredictedCell, ...]
    not_written: tuple[str, ...] = ()
    """`file: reason` of every recording that could not be copied with its results."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The answers of a model for n cells, in their order."""

    probabilities: Floats
    """(n, classes)."""
    sets: Bools | None = None
    """(n, classes), the possible classes; None for a model without sets."""
    coverage: float = math.nan
    distances: Floats
    """(n,), NaN for a model without distances."""
    threshold: float | Floats = math.nan
    """For all cells, or (n,)."""
    percentile: float = math.nan
    lacking: Ints | None = None
    lacking_threshold: float = math.nan
    because: Sequence[tuple[Reason, ...]] = ()
    types: Sequence[TypeAnswer] = ()
    features: Floats | None = None
    """(n, features), the inputs of the last layer of a network; None for other models."""


def add_answers(cells: Sequence[PredictedCell], answers: Answers) -> list[PredictedCell]:
    """Return the cells; those with status ok get the answers, in order."""
    rows = iter(range(len(answers.probabilities)))
    sets = answers.sets
    thresholds = np.broadcast_to(answers.threshold, len(answers.probabilities))

    def fill(cell: PredictedCell, row: int) -> PredictedCell:
        return replace(
            cell,
            probabilities=tuple(float(p) for p in answers.probabilities[row]),
            possible=None if sets is None else _name_classes(sets[row]),
            coverage=answers.coverage,
            because=answers.because[row] if answers.because else (),
            distance=float(answers.distances[row]),
            threshold=float(thresholds[row]),
            percentile=answers.percentile,
            lacking=None if answers.lacking is None else int(answers.lacking[row]),
            lacking_threshold=answers.lacking_threshold,
            types=answers.types[row] if answers.types else None,
        )

    return [fill(cell, next(rows)) if cell.status == "ok" else cell for cell in cells]


def _name_classes(chosen: Bools) -> tuple[str, ...]:
    return tuple(label for label, is_in in zip(CLASSES, chosen, strict=True) if is_in)


def list_predictions(cells: Sequence[PredictedCell]) -> Iterator[dict[str, Any]]:
    """Yield the rows of `predictions.csv`."""
    for cell in cells:
        line: dict[str, Any] = {
            name: getattr(cell, name) for name in (*IDENTITY_COLUMNS, *DISTANCE_COLUMNS)
        }
        line |= {"prediction": cell.prediction, "unlike_training": cell.unlike_training}
        line |= {"prediction_set": cell.set_in_words()}
        line |= dict(zip(PROBABILITY_COLUMNS, cell.probabilities, strict=False))
        line |= {f"because_{n}": why.in_words() for n, why in enumerate(cell.because, start=1)}
        line |= {} if cell.types is None else cell.types.columns()
        yield line | {"notes": SEPARATOR.join(cell.notes)}


def write_new_cells(
    folder: Path,
    cells: Sequence[PredictedCell],
    *,
    model: str,
    pictures: Mapping[str, Sequence[Path]] | None = None,
) -> None:
    """Write the table and the page of a run.

    Parameters
    ----------
    model
        The name of the model.
    pictures
        The files of each picture, by its caption.
    """
    typed = [(cell.specimen_id or cell.file, cell.types) for cell in cells if cell.types]
    columns = (*NEW_CELL_COLUMNS, *ANSWER_COLUMNS) if typed else NEW_CELL_COLUMNS
    write_csv(folder / "predictions.csv", columns, list_predictions(cells))
    blocks: list[Block] = [_list_counts(cells), _build_table(cells)]
    sections = [Section("Cells", blocks)]
    if typed:
        write_csv(folder / "types.csv", TYPE_COLUMNS, list_types(typed))
        sections.append(Section("Types", build_types(typed)))
    if pictures:
        drawn = [Picture(files=files, caption=caption) for caption, files in pictures.items()]
        sections.append(Section("Sweeps and scalograms", drawn))
    predicted = sum(bool(cell.prediction) for cell in cells)
    write_page(
        folder / "report.html",
        f"Predictions of {model}",
        subtitle=f"{len(cells)} recordings or cells, {predicted} of them with a prediction",
        sections=sections,
    )


def _list_counts(cells: Sequence[PredictedCell]) -> Facts:
    unlike = sum(bool(cell.unlike_training) for cell in cells)
    lost = sum(not cell.prediction for cell in cells)
    return Facts(
        [
            *(
                (label, str(sum(cell.prediction == label for cell in cells)), "predicted")
                for label in CLASSES
            ),
            ("unlike training", str(unlike), "do not trust these"),
            ("no prediction", str(lost), "the table says why"),
        ]
    )


def _build_table(cells: Sequence[PredictedCell]) -> Table:
    with_reasons = any(cell.because for cell in cells)
    known = [cell.coverage for cell in cells if cell.possible is not None]
    with_sets = bool(known)
    columns = ["specimen", "class", "probability"]
    columns += ([POSSIBLE] if with_sets else []) + ["unlike training"]
    columns += (["because"] if with_reasons else []) + ["notes", "file"]
    return Table(
        columns=columns,
        rows=[_build_row(cell, with_sets=with_sets, with_reasons=with_reasons) for cell in cells],
        caption="Every file or cell that was read. Do not trust the predictions of cells that are "
        "unlike the training cells."
        + (_EXPLAINED_SETS.format(coverage=known[0]) if with_sets else "")
        + (" The strongest reason comes first." if with_reasons else ""),
    )


def _build_row(cell: PredictedCell, *, with_sets: bool, with_reasons: bool) -> list[object]:
    because = SEPARATOR.join(why.in_words() for why in cell.because)
    return [
        cell.specimen_id or Path(cell.file).name,
        cell.prediction or cell.status,
        cell.probability,
        *([cell.set_in_words()] if with_sets else []),
        cell.unlike_training,
        *([because] if with_reasons else []),
        SEPARATOR.join(filter(None, (cell.reason, cell.warning(), *cell.notes))),
        cell.file,
    ]
