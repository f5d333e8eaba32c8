"""The report of --types: scores by level, by type and by data set, and all answers."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final

import numpy as np

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.datasets.laboratories import LabelledTable
from sts.evaluation.type_scores import LevelAnswers, LevelScores, score_answers
from sts.evaluation.type_tree import TypeTree
from sts.reports.page import Section, Table, write_page
from sts.studies.classify.types.unlike import UnlikeScores

COLUMNS: Final = (
    *("cells", "right", "among three", "mean over types", "true type in set", "types in a set"),
    *("empty sets", "area under risk", "wrong calls dropped", "right calls dropped"),
)
HOW: Final = (
    "Every cell is predicted by a classifier that was fitted on other donors. Specimens of the "
    "published test split are not used. A type with fewer than six cells counts as its subclass. "
    "A cell counts at the levels at which it is known."
)
SETS: Final = (
    "A set contains the true type of {coverage:.0%} of new cells of each subclass (of each class, "
    "at the level of classes) if they come from the same source as these cells. It is calibrated "
    "on the cells of the other folds. An empty set means that the cell is unusual for every type. "
    "A call is dropped if its probability is below that of half of the wrong calls of the other "
    "folds."
)
UNLIKE: Final = (
    "Each class and each data set is left out of the fit of the distances to classes. Are its "
    "cells recognised as unlike all others? Known cells are of other donors. False alarms are the "
    "known cells that are called unlike where 95 % of the left-out cells are detected. Intervals "
    "resample cells."
)


def write_types_report(
    run: Run,
    table: LabelledTable,
    tree: TypeTree,
    levels: Mapping[str, LevelAnswers],
    detections: Mapping[str, UnlikeScores],
    coverage: float,
) -> None:
    """Write `report.json`, `report.html` and `predictions.csv`."""
    whole = {name: score_answers(answers) for name, answers in levels.items()}
    groups = {name: group_scores(table, tree, answers) for name, answers in levels.items()}
    run.report(
        {
            "cells": len(table),
            "types": len(tree.leaves),
            "coverage": coverage,
            "levels": {name: asdict(scores) for name, scores in whole.items()},
            "groups": {
                name: {group: asdict(scores) for group, scores in of_level.items()}
                for name, of_level in groups.items()
            },
            "unlike": {name: asdict(scores) for name, scores in detections.items()},
        }
    )
    write_csv(run.path / "predictions.csv", *_lines(table, tree, levels))
    by_group = [
        Section(
            f"By type and data set: {name}",
            [_as_table("cells of", groups[name], caption=f"Predicted at the level of {name}.")],
        )
        for name in levels
    ]
    write_page(
        run.path / "report.html",
        "The tree of types",
        subtitle=f"{len(table)} cells, {len(tree.leaves)} types, each donor in one fold",
        sections=[
            Section("Levels", [HOW, levels_table(whole), SETS.format(coverage=coverage)]),
            *by_group,
            Section("Unlike anything seen", [UNLIKE, unlike_table(detections)]),
        ],
    )


def levels_table(scores: Mapping[str, LevelScores]) -> Table:
    """Return the scores of all cells, one line per level."""
    return _as_table("level", scores, caption="In brackets: 95 % intervals (Wilson, 1927).")


def unlike_table(detections: Mapping[str, UnlikeScores]) -> Table:
    """Return the detection of left-out cells, one line per class and data set."""
    return Table(
        columns=["left out", "known cells", "cells left out", "AUROC", "false alarms"],
        rows=[
            [name, found.known, found.unlike, found.area.in_words(), f"{found.false_alarms:.3f}"]
            for name, found in detections.items()
        ],
    )


def _as_table(what: str, scores: Mapping[str, LevelScores], *, caption: str) -> Table:
    rows = [[name, *_values(each)] for name, each in scores.items()]
    return Table(columns=[what, *COLUMNS], rows=rows, caption=caption)


def _values(scores: LevelScores) -> list[object]:
    return [
        scores.cells,
        scores.first.in_words(),
        scores.among_few.in_words(),
        f"{scores.macro:.3f}",
        scores.held.in_words(),
        f"{scores.set_size:.2f}",
        f"{scores.empty:.3f}",
        f"{scores.risk_area:.4f}",
        f"{scores.wrong_dropped:.3f}",
        f"{scores.right_dropped:.3f}",
    ]


def group_scores(
    table: LabelledTable, tree: TypeTree, answers: LevelAnswers
) -> dict[str, LevelScores]:
    """Return the scores of each data set and of each type, T-types within their subclass."""
    sets = table.dataset[answers.rows]
    by_set = {str(name): score_answers(answers, sets == name) for name in np.unique(sets)}
    nodes = answers.level[answers.truth]
    # Depth 3 is the depth of subclasses; types above it form their own groups.
    groups = np.where(tree.depths[nodes] > 3, tree.lift(nodes, 3), nodes)
    return by_set | {
        tree.labels[group]: score_answers(answers, groups == group) for group in np.unique(groups)
    }


def _lines(
    table: LabelledTable, tree: TypeTree, levels: Mapping[str, LevelAnswers]
) -> tuple[list[str], Iterator[dict[str, object]]]:
    """Return the columns and the lines of `predictions.csv`, one for each cell and level."""
    columns = ["specimen_id", "dataset", "level", "truth", "call", "probability", "given", "set"]
    return columns, (
        line for name, each in levels.items() for line in _level(table, tree, name, each)
    )


def _level(
    table: LabelledTable, tree: TypeTree, name: str, answers: LevelAnswers
) -> Iterator[dict[str, object]]:
    names = [tree.labels[node] for node in answers.level]
    for at, row in enumerate(answers.rows.tolist()):
        call = int(answers.probabilities[at].argmax())
        yield {
            "specimen_id": table.specimen_id[row],
            "dataset": table.dataset[row],
            "level": name,
            "truth": names[answers.truth[at]],
            "call": names[call],
            "probability": round(float(answers.probabilities[at, call]), 6),
            "given": bool(answers.is_given[at]),
            "set": "; ".join(names[which] for which in np.flatnonzero(answers.sets[at])),
        }
