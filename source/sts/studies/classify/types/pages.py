"""The report of --types: scores by level, by type and by data set, and all answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

import numpy as np

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.datasets.laboratories import LabelledTable
from sts.evaluation.abstention import risk_coverage
from sts.evaluation.prediction_sets import FEWEST_OF_SOURCE
from sts.evaluation.type_scores import LevelAnswers, LevelScores, score_answers
from sts.evaluation.type_tree import TypeTree, split_label
from sts.reports.figures.scores import ScorePanel, draw_risk, draw_transfer
from sts.reports.page import Block, Picture, Section, Table, write_page
from sts.studies.classify.types.cells import TypedCells, describe_cells
from sts.studies.classify.types.unlike import LeftOutSets, UnlikeScores

CALL_COLUMNS: Final = (
    *("cells", "right", "right, own frequencies", "among three", "mean over types"),
    "area under risk",
)
_SET_COLUMNS: Final = (
    *("cells", "true type in set", "types in a set", "empty sets"),
    *("in set, data set unknown", "types in it"),
    *("wrong calls dropped", "right calls dropped"),
)
_INTERVALS: Final = "In brackets: 95 % intervals (Wilson, 1927)."
# Depth of subclasses, below which types are too many for a figure.
SUBCLASS: Final = 3
_HOW: Final = (
    "Every cell is predicted by a classifier that was fitted on other donors. Specimens of the "
    "published test split are not used. A type with fewer than six cells counts as its subclass. "
    "A cell counts at the levels at which it is known."
)
CALLS_IN_WORDS: Final = (
    "Right: the most probable type is the true one. Own frequencies: the class frequencies of the "
    "cells of a data set are estimated from these cells, without labels, as with "
    "--estimate-frequencies. Among three: the true type is one of the three "
    "most probable ones. Mean over types: the share of right calls of each type, averaged over "
    "types. Area under risk: if the surest cells are called first, the share of wrong calls among "
    "the called cells, averaged over all numbers of called cells; 0 is best."
)
FIGURE: Final = (
    "Calls and prediction sets of all cells, of each data set, and of each subclass at the level "
    "of subclasses. n is the number of cells, lines are 95 % intervals. Sets are made to contain "
    "the true type of {coverage} of the cells."
)
RISK: Final = (
    "Abstention: only the surest calls of each level are given. A curve that stays low says that "
    "wrong calls have low probabilities."
)
_SETS: Final = (
    "A set contains the true type of {coverage} of new cells of each subclass (of each class, "
    "at the level of classes) if they come from the same source as these cells. It is calibrated "
    "on the cells of the other folds, for each data set by itself if it has "
    f"{FEWEST_OF_SOURCE} of them. New cells come from no data set that is known: their set has all "
    "types that it would have in any of the data sets (in set, data set unknown). An empty "
    "set means that the cell is unusual for every type. "
    "A call is dropped if its probability is below that of half of the wrong calls of the other "
    "folds."
)
UNLIKE: Final = (
    "Each class and each data set is left out of the fit of the prototypes of types. Are its "
    "cells recognised as unlike all others? Known cells are of other donors. A cell is flagged if "
    "it is further from all prototypes than 95 % of known cells are. False alarms are the known "
    "cells that are called unlike where 95 % of the left-out cells are detected. Intervals "
    "resample cells."
)
LEFT_OUT_SETS: Final = (
    "Each data set is left out of fit and calibration, and its cells are classified on their own "
    "scale, as PREDICT does it. Nothing promises coverage there. Pooled: sets are calibrated on "
    "all cells of a class. Cautious: a set has all classes that it would have in any of the "
    "other data sets, as in PREDICT."
)


def write_types_report(
    run: Run,
    cells: TypedCells,
    levels: Mapping[str, LevelAnswers],
    detections: Mapping[str, UnlikeScores],
    left_out: Mapping[str, LeftOutSets],
    coverage: float,
) -> None:
    """Write `report.json`, `report.html` and `predictions.csv`."""
    table, tree = cells.table, cells.tree
    whole = {name: score_answers(answers) for name, answers in levels.items()}
    groups = {name: group_scores(table, tree, answers) for name, answers in levels.items()}
    run.report(
        {
            "cells": len(table),
            "types": len(tree.leaves),
            "coverage": coverage,
            "data": describe_cells(cells) | {"features": len(table.names)},
            "levels": {name: asdict(scores) for name, scores in whole.items()},
            "groups": {
                name: {group: asdict(scores) for group, scores in of_level.items()}
                for name, of_level in groups.items()
            },
            "unlike": {name: asdict(scores) for name, scores in detections.items()},
            "left_out_sets": {name: asdict(scores) for name, scores in left_out.items()},
        }
    )
    write_csv(run.path / "predictions.csv", *_lines(table, tree, levels))
    share = f"{100 * coverage:g} %"
    panels = list_type_panels(whole, groups, np.unique(table.dataset).tolist())
    picture = draw_transfer(run.figures / "types", panels)
    by_group = [
        Section(f"By type and data set: {name}", _two_tables("cells of", of_level))
        for name, of_level in groups.items()
    ]
    calls, sets = _two_tables("level", whole)
    sets_in_words = _SETS.format(coverage=share)
    figure = Picture(files=picture, caption=FIGURE.format(coverage=share))
    curves = {
        name: risk_coverage(answers.probabilities.max(axis=1), answers.right)
        for name, answers in levels.items()
    }
    risk = Picture(files=draw_risk(run.figures / "risk_coverage", curves), caption=RISK)
    write_page(
        run.path / "report.html",
        "The tree of types",
        subtitle=f"{len(table):,} cells, {len(tree.leaves)} types, each donor in one fold",
        sections=[
            Section("In one figure", [figure]),
            Section("Levels", [_HOW, CALLS_IN_WORDS, calls, risk, sets_in_words, sets]),
            *by_group,
            Section("Unlike anything seen", [UNLIKE, unlike_table(detections)]),
            Section("Sets in a data set left out", [LEFT_OUT_SETS, _left_out_table(left_out)]),
        ],
    )


def list_type_panels(
    whole: Mapping[str, LevelScores],
    groups: Mapping[str, Mapping[str, LevelScores]],
    datasets: Sequence[str],
) -> list[ScorePanel]:
    """Return the panels of the figure: all cells, data sets, and subclasses."""
    by_set = {
        f"{name}, {level}": of_level[name]
        for name in datasets
        for level, of_level in groups.items()
        if name in of_level
    }
    finest = list(groups)[min(SUBCLASS, len(groups)) - 1]
    types = {name: each for name, each in groups[finest].items() if name not in datasets}
    return [
        _panel("All cells", whole),
        _panel("Each data set", by_set),
        _panel(f"Each {finest}", {_last_name(name): each for name, each in types.items()}),
    ]


def _panel(title: str, scores: Mapping[str, LevelScores]) -> ScorePanel:
    named = {f"{name}\nn = {each.cells:,}": each for name, each in scores.items()}
    return ScorePanel(
        title=title,
        label="share of cells",
        rows=list(named),
        marks={
            "right": {name: each.first for name, each in named.items()},
            "among three": {name: each.among_few for name, each in named.items()},
            "true type in set": {name: each.held for name, each in named.items()},
        },
    )


def _last_name(label: str) -> str:
    """Return the type without the nodes above it."""
    return split_label(label)[-1]


def levels_table(scores: Mapping[str, LevelScores]) -> Table:
    """Return the scores of all cells, one line per level."""
    rows = [[name, *_call_values(each), *_set_values(each)[1:]] for name, each in scores.items()]
    columns = ["level", *CALL_COLUMNS, *_SET_COLUMNS[1:]]
    return Table(columns=columns, rows=rows, caption=_INTERVALS)


def unlike_table(detections: Mapping[str, UnlikeScores]) -> Table:
    """Return the detection of left-out cells, one line per class and data set."""
    return Table(
        columns=[
            *("left out", "known cells", "cells left out", "AUROC", "flagged"),
            *("known cells flagged", "false alarms"),
        ],
        rows=[
            [
                *(name, each.known, each.unlike, each.area.in_words(), f"{each.flagged:.3f}"),
                *(f"{each.known_flagged:.3f}", f"{each.false_alarms:.3f}"),
            ]
            for name, each in detections.items()
        ],
    )


def _left_out_table(left_out: Mapping[str, LeftOutSets]) -> Table:
    return Table(
        columns=[
            *("left out", "cells", "right class", "right, own frequencies"),
            *("pooled sets hold it", "classes in a set"),
            *("cautious sets hold it", "classes in a set"),
        ],
        rows=[
            [
                *(name, each.cells, each.right.in_words(), each.right_in_batch.in_words()),
                each.pooled.in_words(),
                *(f"{each.pooled_size:.2f}", each.cautious.in_words()),
                f"{each.cautious_size:.2f}",
            ]
            for name, each in left_out.items()
        ],
        caption=_INTERVALS,
    )


def _two_tables(what: str, scores: Mapping[str, LevelScores]) -> list[Block]:
    """Return the table of calls and the table of prediction sets."""
    named = {_last_name(name): each for name, each in scores.items()}
    return [
        Table(
            columns=[what, *columns],
            rows=[[name, *values(each)] for name, each in named.items()],
            caption=f"{title} {_INTERVALS}",
        )
        for title, columns, values in (
            ("Calls.", CALL_COLUMNS, _call_values),
            ("Prediction sets, and calls that are not given.", _SET_COLUMNS, _set_values),
        )
    ]


def _call_values(scores: LevelScores) -> list[object]:
    return [
        scores.cells,
        scores.first.in_words(),
        scores.first_in_batch.in_words(),
        scores.among_few.in_words(),
        f"{scores.macro:.3f}",
        f"{scores.risk_area:.4f}",
    ]


def _set_values(scores: LevelScores) -> list[object]:
    return [
        scores.cells,
        scores.held.in_words(),
        f"{scores.set_size:.2f}",
        f"{scores.empty:.3f}",
        scores.cautious_held.in_words(),
        f"{scores.cautious_size:.2f}",
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
    # Types above the depth of subclasses form their own groups.
    groups = np.where(tree.depths[nodes] > SUBCLASS, tree.lift(nodes, SUBCLASS), nodes)
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
