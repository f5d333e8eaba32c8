"""The scores of --leave-out, and their report: a figure, and tables for each data set."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.base.types import CLASSES
from sts.datasets.laboratories import LABORATORIES
from sts.evaluation.scores import Interval
from sts.reports.figures.scores import ScorePanel, draw_transfer
from sts.reports.page import Block, Code, Picture, Section, Table, write_page
from sts.tabular.adaptation import ALIGNED, AS_MEASURED, FOLDS, LABELS_FOR_HALF, SELF_TRAINED

ADAPTED, ALONE = "adapted", "labels alone"
LEFT_OUT_COLUMNS: Final = (
    *("trained on", "tested on", "way", "labels a class", "cells"),
    *("weighted F1", "macro F1", "balanced accuracy", "macro F1 over labels alone"),
    *(f"recall {name}" for name in CLASSES),
)
WAYS: Final = {
    AS_MEASURED: "a forest and discriminant analysis are trained on the other data sets of mice, "
    "with the features that all of them have. The cells are not changed. All classes count as "
    "equally frequent.",
    ALIGNED: "the features of the cells are brought to the scale of the training cells as a batch, "
    "without labels. Use it if the cells were measured with another program or solution.",
    SELF_TRAINED: "forests are trained on the cells of the data set themselves, with the classes "
    "that were estimated after alignment as labels, and with all of its features. This is done "
    "twice, and the scale is estimated again between. No label is used, and no cell is classified "
    "by a forest that saw it. Class frequencies are between equal and estimated ones. Fewer than "
    f"{2 * FOLDS} cells stay aligned.",
    ADAPTED: "the same, blended with another classifier that is trained on some labels of the data "
    f"set alone, so many of each class. With {LABELS_FOR_HALF} labels a class both are expected to "
    "count the same; cross-validation on the labels corrects that.",
    ALONE: "this other classifier, without any cell of another data set.",
}
SCORES_IN_WORDS: Final = (
    "Recall is the share of the cells of a class that are recognised. The F1 of a class is the "
    "harmonic mean of its recall and of the share of right calls among all calls of it; macro F1 "
    "is its mean over classes, weighted F1 its mean over cells. Where all cells of a data set are "
    "of one class, only their recall means something. In brackets: 95 % intervals, bootstrap by "
    "donor where donors are known, otherwise by cell."
)
LABELS_IN_WORDS: Final = (
    "Labels come from half of the donors, test cells from the other half. Labels are drawn anew "
    "several times, and the test cells of all draws are scored together; cells are counted once."
)


@dataclass(frozen=True, kw_only=True)
class LeaveOutJob:
    """The data sets that are left out, one at a time, and their number of labels."""

    datasets: tuple[str, ...]
    labels: tuple[int, ...] = (5, 20, 50)
    """Numbers of labels per class, limited by the cells of the class in half of the donors."""
    draws: int = 5
    """Number of random draws of labels; the test cells of all draws are scored together."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class UnseenScores:
    """The scores of one method on the cells of a laboratory outside training."""

    trained_on: tuple[str, ...]
    tested_on: str
    way: str
    labels: int
    cells: int
    weighted_f1: Interval
    macro_f1: Interval
    balanced_accuracy: Interval
    recalls: dict[str, Interval]
    gain: Interval | None = None
    """Gain in macro F1 over the labels alone, paired."""

    def to_row(self) -> dict[str, object]:
        """Return a row of the table."""
        scores = (self.weighted_f1, self.macro_f1, self.balanced_accuracy)
        gain = self.gain.in_words() if self.gain else ""
        recalls = [
            f"{self.recalls[name].value:.2f}" if name in self.recalls else "" for name in CLASSES
        ]
        values = (
            *(", ".join(self.trained_on), self.tested_on, self.way, self.labels or "", self.cells),
            *(interval.in_words() for interval in scores),
            *(gain, *recalls),
        )
        return dict(zip(LEFT_OUT_COLUMNS, values, strict=True))

    @property
    def title(self) -> str:
        """Return the way, with its number of labels."""
        return f"{self.way}, {self.labels} labels a class" if self.labels else self.way


def leave_out_table(scores: Sequence[UnseenScores]) -> Table:
    """Return the table of all scores."""
    return Table(
        columns=LEFT_OUT_COLUMNS,
        rows=[list(one.to_row().values()) for one in scores],
        caption="In brackets: 95 % intervals, bootstrap by donor. Labels come from half of the "
        "donors of the data set, test cells from the other half.",
    )


def write_leave_out_report(run: Run, job: LeaveOutJob, found: Sequence[UnseenScores]) -> None:
    """Write the page with its figure, the table as CSV, and report.json."""
    write_csv(run.path / "left_out.csv", LEFT_OUT_COLUMNS, (each.to_row() for each in found))
    command = (
        f"python source/baseline_pipeline.py --transfer --leave-out {' '.join(job.datasets)} "
        f"--adapt {' '.join(map(str, job.labels))} --seed {job.seed}"
    )
    caption = (
        "Cells of each data set, classified after training on other data sets. Lines are 95 % "
        "intervals."
    )
    write_page(
        run.path / "report.html",
        "A laboratory that training has not seen",
        subtitle=f"Each of {', '.join(job.datasets)} in turn",
        sections=[
            Section(
                "In one figure",
                [
                    Picture(
                        files=draw_transfer(run.figures / "left_out", list_unseen_panels(found)),
                        caption=caption,
                    )
                ],
            ),
            Section(
                "How it is measured",
                [
                    *(f"{way[0].upper()}{way[1:]}: {text}" for way, text in WAYS.items()),
                    LABELS_IN_WORDS,
                    SCORES_IN_WORDS,
                ],
            ),
            *list_set_sections(found),
            Section("How to repeat it", [Code(command)]),
        ],
    )
    run.report({"scores": [asdict(each) for each in found]})


def list_unseen_panels(found: Sequence[UnseenScores]) -> list[ScorePanel]:
    """Return the panels of the figure: data sets of several classes, and those of one class."""
    shown = [each for each in found if each.way != ALONE]
    several = [each for each in shown if len(each.recalls) > 1]
    single = [each for each in shown if len(each.recalls) == 1]
    return [
        *([_panel("Several classes", "macro F1", several)] if several else []),
        *([_panel("Cells of one class alone", "recall", single)] if single else []),
    ]


def _panel(title: str, label: str, found: Sequence[UnseenScores]) -> ScorePanel:
    marks: dict[str, dict[str, Interval]] = {}
    cells = {each.tested_on: each.cells for each in reversed(found)}
    for each in found:
        score = each.macro_f1 if len(each.recalls) > 1 else next(iter(each.recalls.values()))
        row = "\n".join([*each.tested_on.split(", "), f"{cells[each.tested_on]:,} cells"])
        marks.setdefault(each.title, {})[row] = score
    rows = dict.fromkeys(row for scores in marks.values() for row in scores)
    return ScorePanel(title=title, label=f"{label} (0 to 1)", rows=list(rows), marks=marks)


def list_set_sections(found: Sequence[UnseenScores]) -> Iterator[Section]:
    """Yield a section for each data set, with the cells that it was trained on."""
    for name in dict.fromkeys(each.tested_on for each in found):
        own = [each for each in found if each.tested_on == name]
        what = LABORATORIES[name.split(", ")[0]].what
        text = (
            f"{what[0].upper()}{what[1:]}. Trained on {', '.join(own[0].trained_on)}; tested on "
            f"{own[0].cells:,} cells."
        )
        blocks: list[Block] = [text]
        if len(own[0].recalls) > 1:
            blocks.append(_score_table(own))
        yield Section(name, [*blocks, _recall_table(own)])


def _score_table(found: Sequence[UnseenScores]) -> Table:
    rows = [
        [
            *(each.title, each.cells, each.macro_f1.in_words(), each.weighted_f1.in_words()),
            *(each.balanced_accuracy.in_words(), each.gain.in_words() if each.gain else None),
        ]
        for each in found
    ]
    return Table(
        columns=[
            *("way", "cells", "macro F1", "weighted F1", "balanced accuracy"),
            "macro F1 gained over labels alone",
        ],
        rows=rows,
    )


def _recall_table(found: Sequence[UnseenScores]) -> Table:
    classes = [name for name in CLASSES if name in found[0].recalls]
    return Table(
        columns=["way", *classes],
        rows=[
            [each.title, *(each.recalls[name].in_words(2) for name in classes)] for each in found
        ],
        caption="Recall of each class.",
    )
