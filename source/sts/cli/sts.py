"""The arguments of sts_pipeline.py and what it prints."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.logs import program
from sts.cli import flags
from sts.cli.called import add_new_cells, add_workers, new_cells_of, say_called
from sts.cli.flags import SELECTION, add_selection
from sts.cli.run import Status, complain, parse_arguments, run, say, say_table
from sts.cli.scores import say_tested, say_trained

if TYPE_CHECKING:
    from sts.networks.backbones import Architecture
    from sts.studies.classify.networks.looking import LookJob
    from sts.studies.classify.pages import LeftOut

MODELS = {1: "ResNet18", 2: "InceptionV3", 3: "DenseNet121", 4: "MobileNetV2"}
FREEZE = ("FULL", "NONE")
# The modes that look at an option; one that is not named belongs to all.
TAKEN_BY = {
    "data": ("TRAIN", "TEST", "EXPLAIN"),
    "weights": ("TRAIN",),
    "group_by": ("TRAIN",),
    "seed": ("TRAIN", "TEST", "EXPLAIN"),
    "trials": ("TRAIN",),
    "folds": ("TRAIN",),
    "epochs": ("TRAIN",),
    "image_size": ("TRAIN",),
    "settings": ("TRAIN",),
    "class_weights": ("TRAIN",),
    "compile": ("TRAIN",),
    "storage": ("TRAIN",),
    "join": ("TRAIN",),
    "wandb": ("TRAIN",),
    "scalograms": ("TEST", "EXPLAIN"),
    "cells": ("EXPLAIN",),
    "recordings": ("PREDICT",),
    "cells_from": ("PREDICT",),
    "workers": ("TRAIN", "PREDICT"),
}
TAKEN_BY |= dict.fromkeys(SELECTION, ("PREDICT",))
# Cells left out that are named on the screen; a file names them all.
LINES = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run sts_pipeline.py with these arguments and return its exit status."""
    parser = make_sts_parser()
    args = parse_arguments(parser, argv)
    given = flags.given_options(parser, sys.argv[1:] if argv is None else argv)
    return run(partial(_start, args, given), root=args.root, demo=args.demo)


def _start(args: argparse.Namespace, given: Mapping[str, str]) -> int:
    from sts.base.logs import set_up

    set_up(args.verbose - args.quiet)
    flags.check_mode(given, args.mode, TAKEN_BY)
    return MODES[args.mode](args)


def make_sts_parser() -> argparse.ArgumentParser:
    """Return the parser of sts_pipeline.py."""
    parser = argparse.ArgumentParser(
        prog=program("sts_pipeline.py"),
        description="Train, test, explain and use convolutional networks on scalograms.",
        epilog="`%(prog)s 1 TRAIN NONE --demo` runs it all on simulated cells.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "model",
        type=int,
        choices=MODELS,
        metavar="MODEL_NO",
        help=", ".join(f"{number} {name}" for number, name in MODELS.items()),
    )
    parser.add_argument(
        "mode",
        type=str.upper,
        choices=MODES,
        metavar="MODE",
        help="TRAIN, TEST, EXPLAIN or PREDICT",
    )
    parser.add_argument(
        "freeze",
        nargs="?",
        type=str.upper,
        choices=FREEZE,
        default="NONE",
        metavar="FREEZE",
        help="FULL: train the head only; NONE: all layers (default)",
    )
    flags.add_place(parser)
    flags.add_device(parser)
    flags.add_seed(parser)
    flags.add_name(parser)
    _add_training(parser)
    _add_looking(parser)
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Add what TRAIN takes."""
    group = parser.add_argument_group("TRAIN")
    group.add_argument(
        "--weights",
        type=flags.any_case("imagenet", "none"),
        metavar="W",
        help="imagenet (default), none for random ones, or a file of this network's weights",
    )
    group.add_argument(
        "--trials", type=flags.positive, metavar="N", help="settings to try (default: 50)"
    )
    group.add_argument("--folds", type=flags.folds, metavar="N", help="(default: 3)")
    group.add_argument(
        "--epochs", type=flags.positive, metavar="N", help="at most so many (default: 100)"
    )
    group.add_argument(
        "--image-size",
        type=flags.size,
        metavar="PIXELS",
        help="side of square images, or height x width such as 32x384 (default: 224, InceptionV3 "
        "299)",
    )
    group.add_argument(
        "--settings",
        type=Path,
        metavar="JSON",
        help="train with these settings instead of searching",
    )
    group.add_argument(
        "--group-by",
        type=str.lower,
        choices=("specimen", "donor"),
        default="donor",
        help="TRAIN: what stands on one side of a split and in one fold only (default: donor, "
        "where donors are known)",
    )
    group.add_argument(
        "--class-weights", action="store_true", help="let all classes count the same in the loss"
    )
    group.add_argument(
        "--compile", action="store_true", help="compile the network (pays on long runs on a GPU)"
    )
    group.add_argument(
        "--storage",
        metavar="URL",
        help="where trials are kept: an SQLite file for the processes of one host (default, in "
        "output/sts), or postgresql://... or mysql://... for several hosts",
    )
    group.add_argument(
        "--join",
        action="store_true",
        help="help another TRAIN of the same arguments to search, then stop",
    )
    flags.add_wandb(group)


def _add_looking(parser: argparse.ArgumentParser) -> None:
    """Add what says which cells are looked at."""
    group = parser.add_argument_group("TEST, EXPLAIN and PREDICT")
    group.add_argument(
        "--scalograms",
        type=str.lower,
        choices=("auto", "computed", "published"),
        default="auto",
        help="TEST and EXPLAIN: computed from a sweep store, or the published .npy files (default: "
        "a store if there is one)",
    )
    group.add_argument(
        "--cells",
        nargs="+",
        default=(),
        metavar="SPECIMEN",
        help="EXPLAIN: draw these (default: one held-out cell of each class)",
    )
    add_new_cells(group)
    add_workers(
        parser.add_argument_group("processes"),
        "TRAIN: processes that search together, each on a GPU of its own or all on the CPU (for "
        "TRAIN the default is 1); PREDICT: recordings read side by side",
    )
    add_selection(parser)


def _data(args: argparse.Namespace) -> Path:
    from sts.datasets.demo import STORE_FOLDER

    workspace = flags.workspace_of(args)
    data: Path = args.data or (workspace.data / STORE_FOLDER if args.demo else workspace.data)
    return data


def _architecture(args: argparse.Namespace) -> "Architecture":
    from sts.networks.backbones import Architecture

    weights = args.weights or ("none" if args.demo else "imagenet")
    return Architecture(number=args.model, freeze=args.freeze, weights=weights)


def _train(args: argparse.Namespace) -> int:
    from sts.datasets.demo import ensure_store
    from sts.studies.classify.networks.settings import demo_job, make_network_job
    from sts.studies.classify.networks.training import join_search, train_scalogram_network

    data = _data(args)
    architecture = _architecture(args)
    given = {
        "trials": args.trials,
        "folds": args.folds,
        "epochs": args.epochs,
        "image_size": args.image_size,
        "class_weights": args.class_weights or None,
        "compile": args.compile or None,
    }
    job = (demo_job if args.demo else make_network_job)(
        architecture, group_by=args.group_by, seed=args.seed, file=args.settings, **given
    )
    if args.demo:
        ensure_store(data)
        if architecture.weights == "none":
            complain("random weights: nothing was downloaded, and simulated cells need no more")
    if args.join:
        join_search(
            flags.workspace_of(args),
            job,
            data=data,
            device=args.device,
            storage=args.storage,
            workers=max(1, args.workers),
        )
        return Status.DONE
    trained = train_scalogram_network(
        flags.workspace_of(args),
        job,
        data=data,
        device=args.device,
        storage=args.storage,
        wandb=args.wandb,
        name=args.name,
        workers=max(1, args.workers),
    )
    say_trained(trained)
    return _explain(args) if args.demo else Status.DONE


def _test(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.looking import test_network

    tested = test_network(flags.workspace_of(args), _look_job(args), device=args.device)
    say_tested(tested)
    return _say_left_out(tested.left_out)


def _explain(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.explain import explain_network

    explained = explain_network(flags.workspace_of(args), _look_job(args), device=args.device)
    say_table(explained.attention.columns, explained.attention.rows)
    say(f"report  {explained.folder / 'report.html'}")
    return _say_left_out(explained.left_out)


def _look_job(args: argparse.Namespace) -> "LookJob":
    from sts.studies.classify.networks.looking import LookJob

    return LookJob(
        architecture=_architecture(args),
        data=str(_data(args)),
        cells=tuple(args.cells),
        scalograms=args.scalograms,
        seed=args.seed,
        name=args.name,
    )


def _say_left_out(left_out: "Sequence[LeftOut]") -> int:
    for cell in left_out[:LINES]:
        complain(f"left out: {cell.specimen_id}: {cell.reason}")
    if len(left_out) > LINES:
        complain(f"left out: {len(left_out) - LINES} more cells, listed in left-out.csv")
    return Status.PARTIAL if left_out else Status.DONE


def _predict(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.looking import NetworkPredictJob, predict_by_network

    source = new_cells_of(args, features=False)
    job = NetworkPredictJob(architecture=_architecture(args), source=source, name=args.name)
    workspace = flags.workspace_of(args)
    return say_called(predict_by_network(workspace, job, device=args.device, workers=args.workers))


MODES: dict[str, Callable[[argparse.Namespace], int]] = {
    "TRAIN": _train,
    "TEST": _test,
    "EXPLAIN": _explain,
    "PREDICT": _predict,
}
