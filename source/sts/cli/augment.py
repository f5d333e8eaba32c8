"""The arguments of augment_benchmark.py and what it prints."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.cli import flags
from sts.cli.output import complain, say, say_table
from sts.cli.run import Status, run

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.augment.results import Results
    from sts.studies.augment.settings import Job

METHODS = ("smote", "gan", "vae", "flow", "ddpm")
CONTROLS = ("random", "weights", "copula", "borderline", "adasyn")
TASKS = ("e", "me", "sts")
CLASSIFIERS = (
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
REDUCERS = ("none", "pca", "ica", "svd", "isomap", "lle", "nca")


def main(argv: Sequence[str] | None = None) -> int:
    """Run augment_benchmark.py with these arguments and return its exit status."""
    args = make_parser().parse_args(argv)
    return run(partial(_start, args))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of augment_benchmark.py."""
    parser = argparse.ArgumentParser(
        prog="augment_benchmark.py",
        description="Does synthetic data help to tell neuron types, how real is it, and is it more "
        "than a copy?",
        epilog="`augment_benchmark.py --demo` runs it all on simulated neurons. Interrupted, the "
        "same command goes on; cells that are scored already are not scored again.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_question(parser)
    _add_protocol(parser)
    _add_features(parser)
    flags.add_place(parser)
    flags.add_seed(parser)
    flags.add_device(parser)
    flags.add_work(parser)
    flags.add_again(parser)
    parser.add_argument(
        "--wandb",
        choices=flags.WANDB_MODES,
        default="off",
        help="mirror the run to Weights & Biases (default: off; only online uses the network)",
    )
    return parser


def _add_question(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is compared")
    group.add_argument(
        "--method",
        nargs="+",
        default=["smote"],
        metavar="NAME",
        help=f"{', '.join(METHODS)}, all (these and two controls); {', '.join(CONTROLS)} "
        "(default: smote)",
    )
    group.add_argument(
        "--task",
        default="e",
        metavar="TASK",
        help="e: electrophysiology to e-type (default); me: with morphology; sts: to STS class",
    )
    group.add_argument(
        "--classifiers",
        nargs="+",
        default=(),
        metavar="NAME",
        help=f"{', '.join(CLASSIFIERS)} (default: all)",
    )
    group.add_argument(
        "--borrow",
        action="store_true",
        help="--task me: also let real neurons without morphology join the training rows",
    )


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("protocol")
    group.add_argument(
        "--protocol",
        default="cv",
        metavar="NAME",
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
        type=flags.positive,
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
    group.add_argument("--no-curves", action="store_true", help="draw no learning curves")
    group.add_argument("--no-fidelity", action="store_true", help="do not measure how real it is")


def _add_features(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("features")
    group.add_argument(
        "--features",
        default="curated",
        metavar="SET",
        help="curated: the published ones but technical columns (default); derived: and formulas",
    )
    group.add_argument(
        "--reducer", default="none", metavar="NAME", help=f"{', '.join(REDUCERS)} (default: none)"
    )
    group.add_argument(
        "--components",
        type=flags.positive,
        default=15,
        metavar="N",
        help="dimensions behind a reducer (default: 15)",
    )
    group.add_argument(
        "--space",
        default="native",
        metavar="SPACE",
        help="where generators work: native, before a reducer (default), or reduced, behind it",
    )


def _start(args: argparse.Namespace) -> int:
    from sts.base.logs import set_up

    set_up(args.verbose - args.quiet)
    return _plan(args) if args.dry_run else _benchmark(args)


def _workspace(args: argparse.Namespace) -> "Workspace":
    from sts.base.workspace import find_workspace

    workspace = find_workspace(args.root)
    return workspace.demo() if args.demo else workspace


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

    workspace, job = _workspace(args), _job(args)
    found = plan(workspace, job, data=_data(args, workspace))
    say(f"{found.cells} cells, {found.cells - found.waiting} of them scored in {found.folder}")
    for method, count in found.methods.items():
        say(f"{method}: {count} cells to score")
    return Status.DONE


def _benchmark(args: argparse.Namespace) -> int:
    from sts.studies.augment.benchmark import benchmark

    workspace, job = _workspace(args), _job(args)
    results = benchmark(
        workspace,
        job,
        data=_data(args, workspace),
        workers=args.workers,
        cluster=args.cluster,
        wandb=args.wandb,
        force=args.force,
    )
    _say_results(results)
    say(f"report  {results.folder / 'report.html'}")
    for where, reason in results.failed.items():
        complain(f"failed: {where}: {reason}")
    return Status.PARTIAL if results.failed else Status.DONE


def _say_results(results: "Results") -> None:
    from sts.augment.classifiers import title_of
    from sts.studies.augment.results import baseline_of, name_of

    base = baseline_of(results)
    say_table(
        ("nothing added", "accuracy", "macro F1"),
        [
            (title_of(name), scores["accuracy"].in_words(), scores["macro_f1"].in_words())
            for name, scores in base.items()
        ],
    )
    say()
    say_table(
        ("method", "classifier", "added", "macro F1", "difference", "verdict"),
        [
            (
                name_of(each.method),
                title_of(each.classifier),
                each.added,
                f"{each.value:.3f}",
                each.difference.in_words(),
                each.verdict,
            )
            for each in results.differences
            if each.score == "macro_f1"
        ],
    )
