"""The flags of augment_benchmark.py."""

import argparse
from pathlib import Path

from sts import __version__
from sts.base.commands import program
from sts.cli import flags

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


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of augment_benchmark.py."""
    parser = argparse.ArgumentParser(
        prog=program("augment_benchmark.py"),
        description="Does synthetic data help to tell neuron types, how real is it, and is it more "
        "than a copy?",
        epilog="`%(prog)s --demo` runs it all on simulated neurons. Interrupted, the "
        "same command goes on; cells that are scored already are not scored again.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_question(parser)
    _add_protocol(parser)
    _add_features(parser)
    flags.add_place(parser)
    flags.add_seed(parser)
    flags.add_device(parser, auto="the CPU, for every core has a process of its own")
    flags.add_work(parser)
    flags.add_again(parser)
    flags.add_wandb(parser)
    return parser


def _add_question(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is compared")
    group.add_argument(
        "--method",
        type=str.lower,
        nargs="+",
        default=["smote"],
        metavar="NAME",
        help=f"{', '.join(METHODS)}, all (these and two controls); {', '.join(CONTROLS)} "
        "(default: smote)",
    )
    group.add_argument(
        "--task",
        type=str.lower,
        default="e",
        metavar="TASK",
        help="e: electrophysiology to e-type (default); me: with morphology; sts: to STS class",
    )
    group.add_argument(
        "--classifiers",
        type=str.lower,
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
        type=str.lower,
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
    group.add_argument("--no-curves", action="store_true", help="draw no learning curves")
    group.add_argument("--no-fidelity", action="store_true", help="do not measure how real it is")


def _add_features(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("features")
    group.add_argument(
        "--features",
        type=str.lower,
        default="curated",
        metavar="SET",
        help="curated: the published ones but technical columns (default); derived: and formulas",
    )
    group.add_argument(
        "--reducer",
        type=str.lower,
        default="none",
        metavar="NAME",
        help=f"{', '.join(REDUCERS)} (default: none)",
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
        type=str.lower,
        default="native",
        metavar="SPACE",
        help="where generators work: native, before a reducer (default), or reduced, behind it",
    )
