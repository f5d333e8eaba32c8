"""A tree of types to be given away: its files, and a card in words with measured numbers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.archives.sources import SOURCES, find_source
from sts.datasets.cell_types import CLASS_DEPTH, LEVELS
from sts.datasets.laboratories import LABORATORIES
from sts.evaluation.prediction_sets import FEWEST_OF_SOURCE
from sts.evaluation.scores import Interval
from sts.evaluation.type_scores import LevelAnswers, LevelScores, score_answers
from sts.evaluation.type_tree import TypeTree, split_label
from sts.studies.classify.types.cells import FINEST, TypedCells, sources_without_licence
from sts.studies.classify.types.pages import SUBCLASS, group_scores
from sts.studies.classify.types.unlike import LeftOutSets, UnlikeScores
from sts.tabular.released import save_released
from sts.tabular.type_checkpoint import TypeModel

# Fewer cells say nothing of a group.
_FEWEST: Final = 10
# Digits of a digest that tell files apart in a table.
DIGITS: Final = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Release:
    """What the card of a released tree is made from."""

    cells: TypedCells
    levels: Mapping[str, LevelAnswers]
    lacking: Mapping[str, Mapping[str, LevelAnswers]]
    """The same for each protocol without some stimulus."""
    detections: Mapping[str, UnlikeScores]
    left_out: Mapping[str, LeftOutSets]
    data: Path


def write_release(folder: Path, model: TypeModel, found: Release) -> TypeModel:
    """Write the files of a released tree and return it as stored."""
    return save_released(folder, model, describe_release(model, found))


def describe_release(model: TypeModel, found: Release) -> str:
    """Return the card in words, in Markdown."""
    sections = (
        _introduce,
        _list_data,
        _list_scores,
        _list_sets,
        _list_protocols,
        _list_warnings,
        _list_limits,
    )
    return "\n".join(line for section in sections for line in (*section(model, found), ""))


def _introduce(model: TypeModel, found: Release) -> Iterator[str]:
    data, tree = model.card.data, model.tree
    classes, subclasses = (len(tree.level(depth)) for depth in (CLASS_DEPTH, SUBCLASS))
    yield "# The released tree of types"
    yield ""
    yield (
        "Made by `baseline_pipeline.py --types --release DIR`, which wrote this page and all "
        f"numbers on it. From electrophysiology features it tells {classes} classes, {subclasses} "
        f"subclasses and {len(tree.leaves)} types of neurons of mouse visual cortex. It was fitted "
        f"on {data['cells']:,} cells, and none of them is stored: the files hold classifiers, "
        "means of types, percentiles of features and one score of each calibration cell."
    )
    yield ""
    complete = [_is_complete(path, known) for path, known in _files(found)]
    if all(complete):
        yield "All tables are the published ones in full."
    else:
        yield (
            "**Made from a part of the published tables**: some cells were not at hand (see the "
            "files below). The same command makes it from the full tables, after `data_pipeline.py "
            "fetch sts-tables patchseq-metadata excitatory`."
        )
    yield ""
    yield (
        "Use: a first answer for recordings without any training, for research. A class is a "
        "guess about a cell, never a fact; look at the set and at the warning first."
    )


def _list_data(model: TypeModel, found: Release) -> Iterator[str]:
    counts = model.card.data["datasets"]
    yield "## Data, terms and credit"
    yield ""
    yield "| data set | cells | terms | credit |"
    yield "| --- | --- | --- | --- |"
    for name in counts:
        sources = [SOURCES[each] for each in LABORATORIES[name].sources]
        terms = "; ".join(dict.fromkeys(each.terms for each in sources))
        credit = "; ".join(dict.fromkeys(each.credit for each in sources))
        yield f"| {name}: {LABORATORIES[name].what} | {counts[name]:,} | {terms} | {credit} |"
    yield ""
    yield "Left out:"
    yield ""
    for name in LABORATORIES:
        if name not in counts:
            yield f"* {name}: {_why_left_out(name)}"
    yield ""
    yield "No specimen of the published test split was fitted, calibrated or scored."
    yield ""
    yield "| file | size | sha256 begins | |"
    yield "| --- | --- | --- | --- |"
    for path, known in _files(found):
        size, whole = path.stat().st_size, _is_complete(path, known)
        remark = "as published" if whole else "a part, or another edition"
        yield f"| {path.name} | {size:,} | {_digest(path)[:DIGITS]} | {remark} |"


def _why_left_out(name: str) -> str:
    if unlicensed := sources_without_licence(name):
        return f"no licence is known of {', '.join(unlicensed)} ({SOURCES[unlicensed[0]].terms})."
    return "not in the data." if name in FINEST else "not of mouse visual cortex."


def _files(found: Release) -> list[tuple[Path, str]]:
    """Return the tables that were at hand, and the digest of each as published."""
    sources = dict.fromkeys(
        source
        for name in dict.fromkeys(found.cells.table.dataset.tolist())
        for source in LABORATORIES[name].sources
    )
    known = {
        Path(table.place).name: table.sha256
        for source in sources
        for table in find_source(source).tables
    }
    paths = sorted(path for path in found.data.rglob("*") if path.name in known and path.is_file())
    return [(path, known[path.name]) for path in {path.name: path for path in paths}.values()]


def _is_complete(path: Path, known: str) -> bool:
    return not known or _digest(path) == known


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _list_scores(model: TypeModel, found: Release) -> Iterator[str]:
    folds = model.card.settings["folds"]
    yield "## Scores"
    yield ""
    yield (
        f"Of {folds}-fold cross-validation with whole donors on one side of a fold, where donors "
        "are known; every cell is predicted by trees that saw neither it nor its donor. The "
        "released tree is fitted on all folds. In brackets: 95 % intervals (Wilson, 1927)."
    )
    yield ""
    yield (
        "Own frequencies: class frequencies are estimated from the cells of a fold and data set, "
        "without labels, as with `PREDICT --estimate-frequencies`."
    )
    yield ""
    yield (
        "| level | cells of | cells | right | right, own frequencies "
        "| right type among the three most probable |"
    )
    yield "| --- | --- | --- | --- | --- | --- |"
    for level, group, scores in _groups(found):
        shown = map(_show, (scores.first, scores.first_in_batch, scores.among_few))
        yield f"| {level} | {group} | {scores.cells:,} | {' | '.join(shown)} |"


def _list_sets(model: TypeModel, found: Release) -> Iterator[str]:
    yield "## Prediction sets"
    yield ""
    yield (
        f"A set is to hold the true type of {model.card.coverage:.0%} of the cells of each "
        "subclass (of each class, where classes are told), for cells that come from where these "
        "come from. Measured on the cells of each fold, calibrated on those of the other folds, "
        f"for each data set by itself if it has {FEWEST_OF_SOURCE} of them. New cells come from no "
        "data set that is known: PREDICT gives them all types that they would have in any of the "
        "data sets. The last two columns are of such sets."
    )
    yield ""
    yield (
        "| level | cells of | cells | set holds the truth | types in a set | empty sets "
        "| data set unknown: set holds the truth | types in a set |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for level, group, scores in _groups(found):
        size, held = f"{scores.set_size:.2f}", _show(scores.held)
        cautious = f"{_show(scores.cautious_held)} | {scores.cautious_size:.2f}"
        yield (
            f"| {level} | {group} | {scores.cells:,} | {held} | {size} | {scores.empty:.3f} "
            f"| {cautious} |"
        )
    yield ""
    yield (
        "Each data set left out of fit and calibration, its cells classified on their own scale, "
        "as PREDICT does it. Sets of classes, calibrated on all cells of a class, and as PREDICT "
        "makes them:"
    )
    yield ""
    yield (
        "| left out | cells | right | right, own frequencies | pooled set holds the truth "
        "| classes | as PREDICT | classes |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, each in found.left_out.items():
        yield (
            f"| {name} | {each.cells:,} | {_show(each.right)} | {_show(each.right_in_batch)} "
            f"| {_show(each.pooled)} | {each.pooled_size:.2f} "
            f"| {_show(each.cautious)} | {each.cautious_size:.2f} |"
        )


def _list_protocols(model: TypeModel, found: Release) -> Iterator[str]:
    yield "## Missing stimuli"
    yield ""
    yield (
        "The same cells, with the features of a stimulus hidden. Sets of such cells are calibrated "
        "on cells without the same stimulus. Gains most: the type whose share of the calls exceeds "
        "that with all stimuli most; a missing stimulus is not to say anything about the type."
    )
    yield ""
    yield "| stimuli | level | right | set holds the truth | types in a set | gains most |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for protocol, levels in {"all": found.levels, **found.lacking}.items():
        for level, answers in levels.items():
            each = score_answers(answers)
            shown = f"{_show(each.first)} | {_show(each.held)} | {each.set_size:.2f}"
            gain = _largest_gain(model.tree, answers, found.levels[level])
            yield f"| {protocol} | {level} | {shown} | {gain} |"


def _largest_gain(tree: TypeTree, lacking: LevelAnswers, whole: LevelAnswers) -> str:
    """Return the type that is called more often without a stimulus, "" where none is."""
    counts = [
        np.bincount(each.probabilities.argmax(axis=1), minlength=len(each.level))
        for each in (lacking, whole)
    ]
    gains = (counts[0] - counts[1]) / len(whole.rows)
    most = int(gains.argmax())
    name = split_label(tree.labels[whole.level[most]])[-1]
    return f"{name} {gains[most]:+.3f}" if gains[most] > 0 else ""


def _groups(found: Release) -> Iterator[tuple[str, str, LevelScores]]:
    """Yield level, group and scores: all cells, each data set, each type with enough cells."""
    for level in LEVELS:
        if (answers := found.levels.get(level)) is None:
            continue
        yield level, "all", score_answers(answers)
        for name, scores in group_scores(found.cells.table, found.cells.tree, answers).items():
            if scores.cells >= _FEWEST:
                yield level, name, scores


def _show(value: Interval) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _list_warnings(model: TypeModel, found: Release) -> Iterator[str]:
    yield "## What the warning catches"
    yield ""
    yield (
        "A cell is called unlike the training cells if it is further from every prototype than "
        f"{model.card.percentile:g} % of training cells are that have similar features. Each "
        "class and data set was left out of the fit of the prototypes in turn: how many of its "
        "cells, and of the known cells of other donors, are flagged? False alarms: the known cells "
        "that would be flagged if 95 % of the cells left out were to be."
    )
    yield ""
    yield "| left out | cells | flagged | known cells flagged | AUROC | false alarms |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, each in found.detections.items():
        shares = f"{each.flagged:.3f} | {each.known_flagged:.3f}"
        area = each.area.in_words()
        yield f"| {name} | {each.unlike:,} | {shares} | {area} | {each.false_alarms:.3f} |"


def _list_limits(model: TypeModel, found: Release) -> Iterator[str]:
    yield "## Limits"
    yield ""
    rare = [name for name, count in model.card.data["types"].items() if count < _FEWEST]
    yield (
        "* It knows mouse visual cortex alone. For another area, species, age or temperature, "
        "sets and classes are not promised, and the warning finds a part of such cells only."
    )
    yield (
        "* Features must be measured as `data_pipeline.py features` measures them. Times count "
        "from the stimulus onset."
    )
    yield (
        "* Missing features and stimuli are allowed: training hid them at random. A recording "
        "with long squares alone gives larger sets."
    )
    yield "* Many Cre lines do not label one class alone, so that some labels are wrong."
    yield f"* {len(rare)} of the labels have fewer than {_FEWEST} training cells."
    yield (
        "* Sets are promised for each subclass of these data sets, not for a laboratory that is "
        "not among them: see above."
    )
    yield ""
    yield "## Versions"
    yield ""
    yield (
        f"Seed {model.card.seed}, {model.card.settings['folds']} folds; digest of the training "
        f"cells {model.card.data['training_fingerprint']}. `SHA256SUMS` lists the files, and "
        "PREDICT "
        "checks them."
    )
