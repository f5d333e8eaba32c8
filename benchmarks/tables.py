"""Compare classifiers of tables of neurons, ours and those of others, on the same folds.

    pip install "spike-train-scalograms[peers]"
    python benchmarks/tables.py --data DATA [--task e me sts sts-over types]
        [--candidates lightgbm catboost ...] [--reference lightgbm] [--folds 3] [--repeats 1]
        [--tune] [--score macro_f1 recall_Exc_2 ...] [--checkpoint FILE] [--out FILE]

DATA holds e-type.csv and mee-type.csv (tasks e and me), the tables and the split of the scalogram
study (sts; sts-over: trained on one data set and scored on the other), or the files of --types of
the baseline (types: T-types of PatchSeq cells). All candidates see the same training rows of the
same folds, neurons of one donor on one side. Ours have the settings of the benchmark of
augmentation, which were chosen on neurons of E that no fold scores, or, with --tune, those that are
best on folds of the training rows. CatBoost has its defaults, RealMLP and TabM those that their
authors tuned on other tables. `baseline`, `baseline-stack` and `type-tree` are the models of
baseline_pipeline.py at their defaults, and `pool` is the pool of classifiers at the nodes of that
tree. A candidate runs in a process of its own on one thread, and its processor time and the growth
of its memory are measured there; those of the vote are the sum and the largest of its voters.
Differences are paired with the reference, with corrected intervals (Nadeau and Bengio, 2003) and
Holm's correction for all of them. Foundation models need a file of weights by --checkpoint, of the
model that is named; none is fetched. Scores that are in --out already are not computed again,
unless they are of other data or of another file of weights.
"""

import argparse
import hashlib
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.augment.evaluate import PreparedItem
from sts.augment.grid import BASELINE, Division, Grid, Item, divide_neurons
from sts.augment.neurons import Neurons
from sts.augment.tasks import TASKS, Task, label_groups, load_task
from sts.base.errors import StsError, one_of
from sts.base.files import read_json, sha256_of, write_json
from sts.base.types import Floats, Ints, Texts
from sts.datasets.cell_types import LEVELS
from sts.datasets.splits import donor_groups
from sts.evaluation.compare import correct_by_holm, corrected_interval, judge, verdict_of
from sts.evaluation.predictions import PLAIN_SCORES, RECALL, scores_of
from sts.evaluation.scores import Interval
from sts.studies.classify.types.cells import read_typed_cells
from sts.tabular.classifiers import CLASSIFIERS, VOTE, VOTERS, combine_votes
from tables_candidates import CANDIDATES, FOUNDATION, NAMES, SPECIAL, TYPES, Predict, Rows

RESULTS: Final = Path(__file__).resolve().parent / "results" / "tables.json"
# The share of neurons whose class is among the three most probable ones.
TOP: Final = "top_3"
SCORED: Final = (*PLAIN_SCORES, TOP)
MEGABYTE: Final = 2**10
# Trained on one data set and scored on the other.
OVER: Final = "sts-over"
# The data set whose cells have T-types.
TYPED_SET: Final = "PatchSeq"
Row = dict[str, Any]


def read_task(name: str, data: Path, features: str) -> Task:
    """Return a task of the benchmark of augmentation, or that of T-types."""
    if name == TYPES:
        return read_types(data)
    return load_task("sts" if name == OVER else name, data, features=features)


def read_types(data: Path) -> Task:
    """Return the task of T-types: PatchSeq cells whose type is known, donors apart."""
    cells = read_typed_cells(data)
    is_fine = cells.tree.depths[cells.truth] == len(LEVELS)
    rows = np.flatnonzero(is_fine & (cells.table.dataset == TYPED_SET))
    labels = cells.labels[rows]
    table = replace(cells.table.rows(rows), label=labels)
    classes, y = np.unique(labels, return_inverse=True)
    groups = donor_groups(table)
    return Task(
        name=TYPES,
        title="T-types of PatchSeq",
        neurons=Neurons(
            specimen_id=table.specimen_id,
            group=groups,
            y=y,
            X=table.X,
            names=table.names,
            classes=tuple(classes.tolist()),
        ),
        groups=label_groups(groups, table),
        left_out={},
    )


def find_datasets(task: Task) -> Texts | None:
    """Return the data set of each neuron of the scalogram study; None for other tasks."""
    if task.name != "sts":
        return None
    # The data set of a group is the second part of its stratum.
    kinds = [stratum.split("|")[1] for stratum in task.groups.stratum.tolist()]
    of_group = dict(zip(task.groups.group.tolist(), kinds, strict=True))
    return np.array([of_group[group] for group in task.neurons.group.tolist()])


def divide(name: str, task: Task, args: argparse.Namespace) -> dict[str, list[Division]]:
    """Return the divisions of a task by the name in its rows."""
    dataset = find_datasets(task)
    if name != OVER or dataset is None:
        return {
            name: divide_neurons(task, "cv", folds=args.folds, repeats=args.repeats, seed=args.seed)
        }
    return {
        f"{name}, {kind} left out": [
            Division(
                repeat=0,
                fold=0,
                fit=np.flatnonzero(dataset != kind),
                scored=np.flatnonzero(dataset == kind),
            )
        ]
        for kind in np.unique(dataset).tolist()
    }


def read_rows(task: Task, division: Division, args: argparse.Namespace) -> Rows:
    """Return the rows of one fold, as the benchmark of augmentation prepares them."""
    grid = Grid(classifiers=tuple(CLASSIFIERS), curves=False, tune=args.tune, seed=args.seed)
    item = Item(method=BASELINE, task=task.name, division=division, neurons=task.neurons, grid=grid)
    prepared = PreparedItem(item)
    view = prepared.view
    return Rows(
        prepared=prepared,
        missing=view.train.missing,
        complete=view.train.complete,
        y=view.y,
        scored_missing=view.scored.missing,
        scored_complete=view.scored.complete,
        names=prepared.fit.classes,
        seed=args.seed,
        tune=args.tune,
        checkpoint=args.checkpoint,
    )


Answer = tuple[Floats, float, float]
"""Probabilities, seconds and megabytes of one fit."""


def _answer(connection: Any, predict: Predict, rows: Rows) -> None:
    """Send probabilities, processor time and megabytes of one fit, or what went wrong."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin_s = time.process_time()
    try:
        probabilities = predict(rows)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}".splitlines()[0])
        return
    seconds = time.process_time() - begin_s
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    connection.send((probabilities, seconds, grown / MEGABYTE))


def fit(name: str, rows: Rows) -> Answer | str:
    """Return what a candidate predicts in a process of its own, or what went wrong."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, CANDIDATES[name], rows))
    process.start()
    theirs.close()
    try:
        answer: Answer | str = ours.recv()
    except EOFError:
        answer = "its process ended without an answer"
    process.join()
    return answer


def vote(rows: Rows, answers: dict[str, Answer | str]) -> Answer | str:
    """Return the vote of the benchmark of augmentation; voters are fitted if they are not yet."""
    for name in VOTERS:
        if name not in answers:
            answers[name] = fit(name, rows)
        if isinstance(answers[name], str):
            return answers[name]
    voters = [answers[name] for name in VOTERS]
    probabilities, seconds, megabytes = zip(*voters, strict=True)
    together = combine_votes(dict(zip(VOTERS, probabilities, strict=True)))
    return together, sum(seconds), max(megabytes)


def score(answer: Answer, rows: Rows, which: Ints) -> Row:
    """Return the scores of a candidate on some of the scored neurons of a fold."""
    probabilities, seconds, megabytes = answer
    scored = rows.prepared.scored.rows(which)
    scores = scores_of(probabilities[which], scored.y, scored.classes)
    return {
        **{name: value for name, value in scores.items() if math.isfinite(value)},
        TOP: count_among_first(probabilities[which], scored.y, 3) / len(scored),
        "seconds": round(seconds, 2),
        "megabytes": round(megabytes),
        "rows": [len(rows.y), len(scored)],
    }


def count_among_first(probabilities: Floats, truth: Ints, first: int) -> int:
    """Return how many rows have fewer than `first` classes above the true one."""
    above = probabilities > probabilities[np.arange(len(truth)), truth][:, None]
    return int((above.sum(axis=1) < first).sum())


def run(args: argparse.Namespace) -> list[Row]:
    """Compute the missing scores, and write each as soon as it is known."""
    known: list[Row] = read_json(args.out)["scores"] if args.out.is_file() else []
    how = {"features": args.features, "folds": args.folds, "tune": args.tune, "seed": args.seed}
    tasks = {name: read_task(name, args.data, args.features) for name in args.task}
    check_scores(args.score, tasks.values())
    digests = set()
    for name, task in tasks.items():
        candidates = [each for each in args.candidates if name.startswith(SPECIAL.get(each, ""))]
        for title, divisions in divide(name, task, args).items():
            for division in divisions:
                digests.add(digest := digest_fold(task, division))
                place = {"task": title, "repeat": division.repeat, "fold": division.fold, **how}
                place["digest"] = digest
                for found in _score_fold(place, candidates, known, task, division, args):
                    known += found
                    shown = {key: value for key, value in found[0].items() if RECALL not in key}
                    print(*(f"{key} {value}" for key, value in shown.items()), flush=True)
                    write_json(args.out, {"load": os.getloadavg()[0], "scores": known})
    return [
        row
        for row in known
        if how.items() <= row.items()
        and row.get("digest") in digests
        and find_weights(row["candidate"], args).items() <= row.items()
    ]


def check_scores(asked: Sequence[str], tasks: Iterable[Task]) -> None:
    """Refuse scores that no task has."""
    recalls = {f"{RECALL}{label}" for task in tasks for label in task.neurons.classes}
    for name in asked:
        one_of(name, (*SCORED, *recalls), "score")


def digest_fold(task: Task, division: Division) -> str:
    """Return a digest of the neurons of a fold: their features, classes, data sets and sides."""
    digest = hashlib.sha256(task.neurons.fingerprint().encode())
    digest.update("\n".join([*task.neurons.group, *task.groups.stratum]).encode())
    digest.update(division.fit.tobytes() + division.scored.tobytes())
    return digest.hexdigest()[:16]


def find_weights(candidate: str, args: argparse.Namespace) -> Row:
    """Return the digest of a candidate's weights, as its rows have it; none if it needs none."""
    if candidate not in FOUNDATION:
        return {}
    # Without a file the rows of no file are shown.
    return {"weights": sha256_of(args.checkpoint)[:16] if args.checkpoint else ""}


def _score_fold(
    place: Row,
    candidates: Sequence[str],
    known: Sequence[Row],
    task: Task,
    division: Division,
    args: argparse.Namespace,
) -> Iterator[list[Row]]:
    """Yield the scores of one fold that are not known: on all its neurons, and by data set."""
    keys = {name: {"candidate": name, **place, **find_weights(name, args)} for name in candidates}
    missing = [
        name for name, key in keys.items() if not any(key.items() <= row.items() for row in known)
    ]
    if not missing:
        return
    rows = read_rows(task, division, args)
    parts = {place["task"]: np.arange(len(division.scored))}
    if (dataset := find_datasets(task)) is not None and OVER not in place["task"]:
        for kind in np.unique(dataset).tolist():
            parts[f"{place['task']}, {kind} alone"] = np.flatnonzero(
                dataset[division.scored] == kind
            )
    answers: dict[str, Answer | str] = {}
    for name in missing:
        answer = vote(rows, answers) if name == VOTE else answers.get(name) or fit(name, rows)
        answers[name] = answer
        if isinstance(answer, str):
            print(f"{place['task']} {name}: no score, {answer}", flush=True)
            continue
        yield [
            {**keys[name], "task": title, **score(answer, rows, which)}
            for title, which in parts.items()
        ]


def summarise(rows: Sequence[Row], reference: str, score: str = "macro_f1") -> Iterator[list[str]]:
    """Yield a line for each task and candidate: scores, paired differences, time and memory.

    Differences are those of `score`; rows that were written without it are left out.
    """
    shown = tuple(dict.fromkeys(("accuracy", "macro_f1", score)))
    rows = [row for row in rows if score in row]
    for task in dict.fromkeys(row["task"] for row in rows):
        here: dict[str, dict[tuple[int, int], Row]] = {}
        for row in rows:
            if row["task"] == task:
                here.setdefault(row["candidate"], {})[row["repeat"], row["fold"]] = row
        judged = {}
        for name, folds in here.items():
            common = sorted(set(folds) & set(here.get(reference, {})))
            ratio = float(np.mean([row["rows"][1] / row["rows"][0] for row in folds.values()]))
            gaps = [folds[at][score] - here[reference][at][score] for at in common]
            judged[name] = judge(np.array(gaps), score, test_to_train=ratio)
        others = [name for name in here if name != reference]
        corrected = dict(
            zip(others, correct_by_holm([judged[name].p for name in others]), strict=True)
        )
        for name, folds in here.items():
            values = list(folds.values())
            ratio = float(np.mean([row["rows"][1] / row["rows"][0] for row in values]))
            scores = [
                corrected_interval(np.array([row[each] for row in values]), test_to_train=ratio)
                for each in shown
            ]
            if len(values) == 1:
                # One division does not show how much others would differ.
                scores = [Interval(each.value, math.nan, math.nan) for each in scores]
            gap, verdict = judged[name].difference, ""
            if name != reference:
                alone = judged[name].verdict
                verdict = f"{alone}, {verdict_of(gap.value, corrected[name], score)}"
            seconds = np.mean([row["seconds"] for row in values])
            megabytes = np.max([row["megabytes"] for row in values])
            yield [
                *(task, name, *(each.in_words() for each in scores)),
                *(_describe_gap(gap) if name != reference else "", verdict),
                *(f"{seconds:.1f} s", f"{megabytes:.0f} MB"),
            ]


def _describe_gap(gap: Interval) -> str:
    return gap.in_words() if math.isfinite(gap.low) else f"{gap.value:.3f}"


def _choose_candidates(names: Sequence[str], checkpoint: Path | None) -> list[str]:
    chosen = [one_of(name, NAMES, "candidate") for name in names]
    weightless = [name for name in chosen if name in FOUNDATION]
    if len(weightless) > 1:
        raise StsError("--checkpoint has the weights of one model: name one of tabpfn and tabicl")
    if weightless and (checkpoint is None or not checkpoint.is_file()):
        raise StsError(
            f"{weightless[0]} needs a file of its weights by --checkpoint; none is fetched: leave "
            "it out of --candidates, or name a file"
        )
    return chosen


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    usual = [name for name in NAMES if name not in FOUNDATION]
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--task", nargs="+", default=["e"], choices=[*TASKS, OVER, TYPES])
    parser.add_argument("--features", default="derived", help="curated or derived")
    parser.add_argument("--candidates", nargs="+", default=usual)
    parser.add_argument("--reference", default="lightgbm", help="what the others are compared with")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="choose our settings on inner folds")
    parser.add_argument(
        "--score",
        default=["macro_f1"],
        nargs="+",
        help=f"what is compared with the reference: {', '.join(SCORED)}, {RECALL}CLASS",
    )
    parser.add_argument("--checkpoint", type=Path, help="weights of tabpfn or tabicl")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    try:
        args.candidates = _choose_candidates(args.candidates, args.checkpoint)
        one_of(args.reference, args.candidates, "reference")
        rows = run(args)
    except StsError as error:
        raise SystemExit(f"error: {error}") from error
    for score in args.score:
        print(f"compared by {score}:")
        for line in summarise(rows, args.reference, score):
            print(" | ".join(line))


if __name__ == "__main__":
    main()
