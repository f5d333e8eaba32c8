"""The arguments of augment_benchmark.py and what it prints."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli.augment_flags import make_parser
from sts.cli.flags import check_again, workspace_of
from sts.cli.output import complain, say, say_table
from sts.cli.run import Status, parse_arguments, run

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.augment.results import Results
    from sts.studies.augment.settings import Job


def main(argv: Sequence[str] | None = None) -> int:
    """Run augment_benchmark.py with these arguments and return its exit status."""
    args = parse_arguments(make_parser(), argv)
    return run(partial(_start, args), root=args.root, demo=args.demo)


def _start(args: argparse.Namespace) -> int:
    from sts.base.logs import set_up

    set_up(args.verbose - args.quiet)
    check_again(args)
    return _plan(args) if args.dry_run else _benchmark(args)


def _data(args: argparse.Namespace, workspace: "Workspace") -> Path:
    if args.data is not None or not args.demo:
        return Path(args.data or workspace.data)
    from sts.studies.augment.demo import ensure_tables

    return ensure_tables(workspace.data, args.task)


def _job(args: argparse.Namespace) -> "Job":
    from sts.studies.augment.settings import DEMO_ADDED, DEMO_CLASSIFIERS, make_job

    return make_job(
        methods=args.method,
        task=args.task,
        protocol=args.protocol,
        features=args.features,
        classifiers=args.classifiers or (DEMO_CLASSIFIERS if args.demo else ()),
        added=args.added or (DEMO_ADDED if args.demo else ()),
        repeats=args.repeats or (1 if args.demo else None),
        file=args.settings,
        folds=args.folds,
        reducer=args.reducer,
        components=args.components,
        space=args.space,
        tune=args.tune,
        borrow=args.borrow,
        curves=not args.no_curves,
        fidelity=not args.no_fidelity,
        seed=args.seed,
        device=args.device,
    )


def _plan(args: argparse.Namespace) -> int:
    from sts.studies.augment.benchmark import plan

    workspace, job = workspace_of(args), _job(args)
    found = plan(workspace, job, data=_data(args, workspace), force=args.force)
    say(f"{found.cells} cells, {found.cells - found.waiting} of them scored in {found.folder}")
    for method, count in found.methods.items():
        say(f"{method}: {count} cells to score")
    return Status.DONE


def _benchmark(args: argparse.Namespace) -> int:
    from sts.studies.augment.benchmark import benchmark

    workspace, job = workspace_of(args), _job(args)
    results = benchmark(
        workspace,
        job,
        data=_data(args, workspace),
        workers=args.workers,
        cluster=args.cluster,
        wandb=args.wandb,
        force=args.force,
        simulated=args.demo and args.data is None,
    )
    _say_results(results)
    say()
    _say_words(results)
    say(f"report  {results.folder / 'report.html'}")
    for where, reason in results.failed.items():
        complain(f"failed: {where}: {reason}")
    return Status.PARTIAL if results.failed else Status.DONE


def _say_results(results: "Results") -> None:
    from sts.studies.augment.results import baseline_of, name_of
    from sts.studies.augment.words import words_of
    from sts.tabular.classifiers import title_of

    base = baseline_of(results)
    say_table(
        ("nothing added", "accuracy", "macro F1"),
        [
            (title_of(name), scores["accuracy"].in_words(), scores["macro_f1"].in_words())
            for name, scores in base.items()
        ],
    )
    say()
    told = [each for each in results.differences if each.score == "macro_f1"]
    number = told[0].comparisons if told else 0
    say_table(
        (
            "method",
            "classifier",
            "added",
            "macro F1",
            "difference",
            "verdict",
            f"corrected for {number} comparisons" if number else "corrected",
        ),
        [
            (
                name_of(each.method),
                title_of(each.classifier),
                each.added,
                f"{each.value:.3f}",
                words_of(each.difference),
                each.verdict,
                each.holm_verdict,
            )
            for each in told
        ],
    )


def _say_words(results: "Results") -> None:
    from sts.studies.augment.results import fidelity_summary, name_of
    from sts.studies.augment.words import in_words

    fidelity = fidelity_summary(results)
    for method in results.job.rows_of_grid[1:]:
        said = in_words(results, fidelity, method)
        say(f"{name_of(method)}: {'; '.join(filter(None, said.values())) or 'nothing scored'}")
