"""The flags of augment_benchmark.py, and what it prints."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.logs import program
from sts.cli import flags
from sts.cli.run import Status, complain, parse_arguments, run_command, say, say_table

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.augment.results import Results
    from sts.studies.augment.settings import Job


METHOD_NAMES = ("smote", "gan", "vae", "flow", "ddpm")
CONTROL_NAMES = (
    "random",
    "weights",
    "priors",
    "thresholds",
    "mixup",
    "mixture",
    "arf",
    "copula",
    "borderline",
    "adasyn",
)
CLASSIFIER_NAMES = (
    "svm",
    "mlp",
    "tree",
    "forest",
    "naive-bayes",
    "lda",
    "logistic",
    "extra-trees",
    "lightgbm",
    "vote",
)
REDUCER_NAMES = ("none", "pca", "ica", "svd", "isomap", "lle", "nca")


def main(argv: Sequence[str] | None = None) -> int:
    """Run augment_benchmark.py with these arguments and return its exit status."""
    args = parse_arguments(make_augment_parser(), argv)
    return run_command(args, _start)


def _start(args: argparse.Namespace) -> int:
    flags.check_again(args)
    return _list_scores(args) if args.dry_run else _benchmark(args)


def _data(args: argparse.Namespace, workspace: "Workspace") -> Path:
    if args.data is not None or not args.demo:
        return Path(args.data or workspace.data)
    from sts.studies.augment.benchmark import ensure_tables

    return ensure_tables(workspace.data, args.task)


def _jobs(args: argparse.Namespace) -> list["Job"]:
    """Return one job for each reducer."""
    names = args.reducer
    if "all" in names:
        names = REDUCER_NAMES
    return [_job(args, name) for name in dict.fromkeys(names)]


def _job(args: argparse.Namespace, reducer: str) -> "Job":
    from sts.studies.augment.settings import DEMO_ADDED, DEMO_CLASSIFIERS, make_benchmark_job

    return make_benchmark_job(
        methods=args.method,
        task=args.task,
        protocol=args.protocol,
        features=args.features,
        classifiers=args.classifiers or (DEMO_CLASSIFIERS if args.demo else ()),
        added=args.added or (DEMO_ADDED if args.demo else ()),
        repeats=args.repeats or (1 if args.demo else None),
        file=args.settings,
        folds=args.folds,
        reducer=reducer,
        components=args.components,
        space=args.space,
        tune=args.tune,
        borrow=args.borrow,
        given=args.given,
        curves=not args.no_curves,
        fidelity=not args.no_fidelity,
        planning=args.plan,
        seed=args.seed,
        device=args.device,
    )


def _list_scores(args: argparse.Namespace) -> int:
    from sts.studies.augment.benchmark import plan
    from sts.studies.augment.estimate import describe_time

    workspace, jobs = flags.workspace_of(args), _jobs(args)
    seconds = 0.0
    for job in jobs:
        todo = plan(workspace, job, data=_data(args, workspace), force=args.force)
        seconds += todo.seconds
        if len(jobs) > 1:
            say(f"--reducer {job.reducer}")
        say(f"{todo.total} scores, {todo.total - todo.missing} of them stored in {todo.folder}")
        for method, count in todo.methods.items():
            say(f"{method}: {count} scores to compute")
    say(f"roughly {describe_time(seconds)} of processor time in all")
    return Status.DONE


def _benchmark(args: argparse.Namespace) -> int:
    jobs = _jobs(args)
    if len(jobs) > 1:
        _list_scores(args)
    return max(_benchmark_job(args, job, several=len(jobs) > 1) for job in jobs)


def _benchmark_job(args: argparse.Namespace, job: "Job", *, several: bool) -> int:
    from sts.studies.augment.benchmark import benchmark

    workspace = flags.workspace_of(args)
    if several:
        say(f"--reducer {job.reducer}")
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
    _say_scores(results)
    say()
    _say_conclusions(results)
    if args.plan:
        _say_plan(results)
    say(f"report  {results.folder / 'report.html'}")
    for where, reason in results.failed.items():
        complain(f"failed: {where}: {reason}")
    return Status.PARTIAL if results.failed else Status.DONE


def _say_scores(results: "Results") -> None:
    from sts.reports.benchmark_scores import method_title
    from sts.studies.augment.conclusions import format_gain
    from sts.studies.augment.results import summarise_baseline
    from sts.tabular.classifiers import classifier_title

    say_table(
        ("nothing added", "accuracy", "macro F1"),
        [
            (classifier_title(name), scores["accuracy"].in_words(), scores["macro_f1"].in_words())
            for name, scores in summarise_baseline(results).items()
        ],
    )
    say()
    gains = [gain for gain in results.gains if gain.score == "macro_f1"]
    number = gains[0].comparisons if gains else 0
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
                method_title(gain.method),
                classifier_title(gain.classifier),
                gain.added,
                f"{gain.value:.3f}",
                format_gain(gain.difference),
                gain.verdict,
                gain.holm_verdict,
            )
            for gain in gains
        ],
    )


def _say_conclusions(results: "Results") -> None:
    from sts.reports.benchmark_scores import method_title, summarise_fidelity
    from sts.studies.augment.conclusions import describe_method, list_missing_classes

    fidelity = summarise_fidelity(results.fidelity)
    for method in results.job.all_methods[1:]:
        parts = describe_method(results, fidelity, method).values()
        say(f"{method_title(method)}: {'; '.join(filter(None, parts)) or 'no score'}")
    for line in list_missing_classes(results):
        say(line)


def _say_plan(results: "Results") -> None:
    from sts.studies.augment.planning import make_forecasts

    say()
    say_table(
        ("class", "training neurons", "score", "augmentation", "more neurons that bring as much"),
        [
            (
                each.name,
                f"{each.neurons:,.0f}",
                f"{each.score:.3f}",
                f"{each.gain:+.3f}",
                each.in_words(),
            )
            for each in make_forecasts(results)
        ],
    )


def make_augment_parser() -> argparse.ArgumentParser:
    """Return the parser of augment_benchmark.py."""
    parser = argparse.ArgumentParser(
        prog=program("augment_benchmark.py"),
        description="Does synthetic data help to classify neuron types, how real is it, and is it "
        "more than a copy?",
        epilog="`%(prog)s --demo` runs everything on simulated neurons. After an interruption the "
        "same command goes on; scores that are stored are not computed again.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_comparison(parser)
    _add_protocol(parser)
    _add_features(parser)
    flags.add_place(parser)
    flags.add_seed(parser)
    flags.add_device(parser, auto="the CPU, because every core has its own process")
    flags.add_work(parser)
    flags.add_again(parser)
    flags.add_wandb(parser)
    return parser


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("comparison")
    add_name = partial(group.add_argument, type=str.lower, metavar="NAME")
    add_name(
        "--method",
        nargs="+",
        default=["smote"],
        help=f"{', '.join(METHOD_NAMES)}, all (these and two controls); {', '.join(CONTROL_NAMES)} "
        "(default: smote)",
    )
    add_name(
        "--task",
        default="e",
        metavar="TASK",
        help="e: electrophysiology to e-type (default); me: with morphology; sts: to STS class",
    )
    add_name(
        "--classifiers",
        nargs="+",
        default=(),
        help=f"{', '.join(CLASSIFIER_NAMES)} (default: all)",
    )
    group.add_argument(
        "--borrow",
        action="store_true",
        help="--task me: also let real neurons without morphology join the training rows, with "
        "their labels and without",
    )
    group.add_argument(
        "--given",
        nargs="+",
        default=(),
        metavar="NAME=VALUES",
        help="add only rows with these features: a range such as tau=15:25, or dendrite=spiny",
    )


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("protocol")
    add_name = partial(group.add_argument, type=str.lower, metavar="NAME")
    add_name(
        "--protocol",
        default="cv",
        help="cv: repeated folds by specimen (default); paper: one 80/20 holdout, five seeds",
    )
    group.add_argument(
        "--added",
        nargs="+",
        type=flags.positive,
        default=(),
        metavar="N",
        help="synthetic rows added to each class (default: 100 500 1000, paper also 5000 10000)",
    )
    group.add_argument(
        "--folds",
        type=flags.folds,
        metavar="N",
        help="(default: as many as the rarest class has neurons, 3 to 5)",
    )
    group.add_argument(
        "--repeats",
        type=flags.positive,
        metavar="N",
        help="of the folds (default: 2), or seeds of the holdout (default: 5)",
    )
    group.add_argument(
        "--tune",
        action="store_true",
        help="search settings of classifiers on folds within the training rows",
    )
    group.add_argument(
        "--settings", type=Path, metavar="JSON", help="settings of generators, by method"
    )
    group.add_argument(
        "--plan",
        action="store_true",
        help="say how many more neurons would bring as much as the best augmentation",
    )
    group.add_argument("--no-curves", action="store_true", help="draw no learning curves")
    group.add_argument("--no-fidelity", action="store_true", help="do not measure how real it is")


def _add_features(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("features")
    add_name = partial(group.add_argument, type=str.lower, metavar="NAME")
    add_name(
        "--features",
        default="curated",
        metavar="SET",
        help="curated: published features without technical columns (default); derived: also "
        "formulas",
    )
    add_name(
        "--reducer",
        nargs="+",
        default=["none"],
        help=f"{', '.join(REDUCER_NAMES)}, all; one report for each (default: none)",
    )
    group.add_argument(
        "--components",
        type=flags.positive,
        default=15,
        metavar="N",
        help="dimensions after a reducer (default: 15)",
    )
    add_name(
        "--space",
        default="native",
        metavar="SPACE",
        help="where generators work: native, before a reducer (default), or reduced, after it",
    )
