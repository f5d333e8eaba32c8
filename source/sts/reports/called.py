"""What PREDICT says of cells, by whichever model: one row a file, as a table and as a page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sts.base.files import write_csv
from sts.base.types import CLASSES, Floats, Ints
from sts.reports.page import Block, Facts, Picture, Section, Table, write_page

REASONS: Final = 5
# What so few training cells lack is lacking for want of a stimulus, not by the nature of a cell.
RARE: Final = 0.1
TABLE_NAME: Final = "predictions.csv"
PAGE_NAME: Final = "report.html"
SEPARATOR: Final = "; "
# Columns that are fields of `Called`.
WHO: Final = ("file", "specimen_id", "dataset", "label", "status", "reason")
HOW_FAR: Final = ("distance", "threshold", "lacking")
LIKELY: Final = tuple(f"probability_{label}" for label in CLASSES)
BECAUSE: Final = tuple(f"because_{number}" for number in range(1, REASONS + 1))
COLUMNS: Final = (
    *WHO,
    "prediction",
    *LIKELY,
    "unlike_training",
    *BECAUSE,
    *HOW_FAR,
    "notes",
)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A feature that speaks for the class that was called."""

    feature: str
    words: str
    """With its value and unit, such as "rheobase 210 pA"."""
    value: float
    lower: float
    """The part of the training cells whose value is lower, of those that have one."""
    higher: float
    missing: float
    """The part of the training cells that have no value."""
    contribution: float
    """What it adds to the logit of the class."""
    label: str

    @property
    def same(self) -> float:
        """Return the part of the training cells whose value is the same, or missing too."""
        if math.isnan(self.value):
            return self.missing
        return (1 - self.missing) * (1 - self.lower - self.higher)

    @property
    def is_of_the_recording(self) -> bool:
        """Tell whether it says what was not recorded, which is no trait of the cell."""
        lacks = math.isnan(self.value) or self.words.endswith(" yes")
        return lacks and self.same < RARE

    def in_words(self) -> str:
        """Return "rheobase 210 pA, higher than 90 % of training cells: towards Pvalb"."""
        return f"{self.words}, {self._standing()} training cells: towards {self.label}"

    def _standing(self) -> str:
        tied = not max(self.lower, self.higher)
        if math.isnan(self.value) or tied or self.words.endswith((" yes", " no")):
            return f"as in {_percent(self.same)} of"
        side, part = max(("higher", self.lower), ("lower", self.higher), key=lambda pair: pair[1])
        return f"{side} than all" if part == 1 else f"{side} than {_percent(part)} of"


def _percent(part: float) -> str:
    """Return a part in whole percents, rounded down: "higher than 99 %" promises no more."""
    if 0 < part < 0.01:
        return "under 1 %"
    return f"{math.floor(100 * part + 1e-9)} %"


@dataclass(frozen=True, kw_only=True)
class Called:
    """One file or cell that was looked at, and what the model says of it."""

    file: str
    specimen_id: str
    status: str = "ok"
    reason: str = ""
    """Why there is no answer, where the status is not `ok`."""
    dataset: str = ""
    label: str = ""
    """The class where it is known."""
    notes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    because: tuple[Reason, ...] = ()
    """The strongest first; none of a model without exact reasons."""
    distance: float = math.nan
    """From the training cells, in units that only compare with `threshold`."""
    threshold: float = math.nan
    lacking: int | None = None
    """Features that it lacks and nearly all training cells have."""
    most_lacking: float = math.nan

    @property
    def prediction(self) -> str:
        """Return the most probable class, "" where there is no answer."""
        places = range(len(self.probabilities))
        return CLASSES[max(places, key=self.probabilities.__getitem__)] if places else ""

    @property
    def probability(self) -> float:
        """Return the probability of the class that was called."""
        return max(self.probabilities, default=math.nan)

    @property
    def lacks_much(self) -> bool:
        """Tell whether it lacks more features than training cells do."""
        return self.lacking is not None and self.lacking > self.most_lacking

    @property
    def unlike_training(self) -> bool | None:
        """Tell whether the cell is unlike the training cells; None where that is not known."""
        if not self.prediction or (math.isnan(self.threshold) and self.lacking is None):
            return None
        return self.distance > self.threshold or self.lacks_much

    def warning(self) -> str:
        """Return why what was called is not to be trusted, "" where nothing is in its way."""
        name = self.specimen_id or self.file
        if not self.unlike_training:
            return ""
        if self.lacks_much:
            return (
                f"{name} lacks {self.lacking} features that nearly all training cells have, "
                "perhaps a whole stimulus: train and ask a model of --features paper+isi, which "
                "takes the long square alone"
            )
        return (
            f"{name} looks unlike the training cells (distance {self.distance:.1f}, of which 1 in "
            f"100 of theirs exceeds {self.threshold:.1f})"
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What PREDICT found, and where it is written."""

    folder: Path
    called: tuple[Called, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a model says of n cells, in their order."""

    probabilities: Floats
    """(n, classes)."""
    distances: Floats
    """(n,), NaN where the model knows no distance."""
    threshold: float = math.nan
    lacking: Ints | None = None
    most_lacking: float = math.nan
    because: Sequence[tuple[Reason, ...]] = ()


def fill_in(found: Sequence[Called], answers: Answers) -> list[Called]:
    """Return what was found with the answers on those whose status is ok, in their order."""
    places = iter(range(len(answers.probabilities)))
    return [one if one.status != "ok" else _answered(one, answers, next(places)) for one in found]


def _answered(one: Called, answers: Answers, at: int) -> Called:
    return replace(
        one,
        probabilities=tuple(float(p) for p in answers.probabilities[at]),
        because=answers.because[at] if answers.because else (),
        distance=float(answers.distances[at]),
        threshold=answers.threshold,
        lacking=None if answers.lacking is None else int(answers.lacking[at]),
        most_lacking=answers.most_lacking,
    )


def lines_of(called: Sequence[Called]) -> Iterator[dict[str, Any]]:
    """Yield the rows of `predictions.csv`."""
    for each in called:
        line: dict[str, Any] = {name: getattr(each, name) for name in (*WHO, *HOW_FAR)}
        line |= {"prediction": each.prediction, "unlike_training": each.unlike_training}
        line |= dict(zip(LIKELY, each.probabilities, strict=False))
        line |= {f"because_{n}": why.in_words() for n, why in enumerate(each.because, start=1)}
        yield line | {"notes": SEPARATOR.join(each.notes)}


def write_called(
    folder: Path,
    called: Sequence[Called],
    *,
    what: str,
    pictures: Mapping[str, Sequence[Path]] | None = None,
) -> None:
    """Write the table and the page of a run.

    Parameters
    ----------
    what
        The name of the model.
    pictures
        By what they show: the files of each.
    """
    write_csv(folder / TABLE_NAME, COLUMNS, lines_of(called))
    blocks: list[Block] = [_counts(called), _table(called)]
    sections = [Section("Cells", blocks)]
    if pictures:
        drawn = [Picture(files=files, caption=caption) for caption, files in pictures.items()]
        sections.append(Section("What the network saw", drawn))
    answered = sum(bool(each.prediction) for each in called)
    subtitle = f"{len(called)} recordings or cells, {answered} of them called"
    write_page(folder / PAGE_NAME, f"What {what} says", subtitle=subtitle, sections=sections)


def _counts(called: Sequence[Called]) -> Facts:
    strange = sum(bool(each.unlike_training) for each in called)
    facts = [
        (label, str(sum(each.prediction == label for each in called)), "called so")
        for label in CLASSES
    ]
    lost = sum(not each.prediction for each in called)
    return Facts(
        [
            *facts,
            ("unlike training", str(strange), "do not trust these"),
            ("no answer", str(lost), "the table says why"),
        ]
    )


def _table(called: Sequence[Called]) -> Table:
    reasons = any(each.because for each in called)
    columns = ["specimen", "class", "probability", "unlike training"]
    columns += (["because"] if reasons else []) + ["notes", "file"]
    return Table(
        columns=columns,
        rows=[_row(each, reasons=reasons) for each in called],
        caption="Every file or cell that was looked at. Do not trust what is said of cells that "
        "are unlike the training cells."
        + (" The strongest reason comes first." if reasons else ""),
    )


def _row(each: Called, *, reasons: bool) -> list[object]:
    because = SEPARATOR.join(why.in_words() for why in each.because)
    return [
        each.specimen_id or Path(each.file).name,
        each.prediction or each.status,
        each.probability,
        each.unlike_training,
        *([because] if reasons else []),
        SEPARATOR.join(filter(None, (each.reason, each.warning(), *each.notes))),
        each.file,
    ]
