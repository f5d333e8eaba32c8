"""The arguments of sts_pipeline.py and what it prints."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.commands import program
from sts.cli import flags
from sts.cli.called import new_cells_of, say_called
from sts.cli.output import complain, say, say_table
from sts.cli.run import Status, parse_arguments, run
from sts.cli.scores import HELD_OUT, say_scores, say_trained
from sts.cli.selection import SELECTION
from sts.cli.sts_flags import add_looking, add_training

if TYPE_CHECKING:
    from sts.networks.backbones import Architecture
    from sts.studies.sts.evaluate import LookJob
    from sts.studies.sts.published import LeftOut

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
    parser = make_parser()
    args = parse_arguments(parser, argv)
    given = flags.given_options(parser, sys.argv[1:] if argv is None else argv)
    return run(partial(_start, args, given), root=args.root, demo=args.demo)


def _start(args: argparse.Namespace, given: Mapping[str, str]) -> int:
    from sts.base.logs import set_up

    set_up(args.verbose - args.quiet)
    flags.check_mode(given, args.mode, TAKEN_BY)
    return MODES[args.mode](args)


def make_parser() -> argparse.ArgumentParser:
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
    add_training(parser)
    add_looking(parser)
    return parser


def _data(args: argparse.Namespace) -> Path:
    from sts.studies.sts.demo import CELLS

    workspace = flags.workspace_of(args)
    data: Path = args.data or (workspace.data / CELLS if args.demo else workspace.data)
    return data


def _architecture(args: argparse.Namespace) -> "Architecture":
    from sts.networks.backbones import Architecture

    weights = args.weights or ("none" if args.demo else "imagenet")
    return Architecture(number=args.model, freeze=args.freeze, weights=weights)


def _train(args: argparse.Namespace) -> int:
    from sts.studies.sts.demo import demo_job, ensure_cells
    from sts.studies.sts.settings import make_job
    from sts.studies.sts.train import join, train

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
    job = (demo_job if args.demo else make_job)(
        architecture, group_by=args.group_by, seed=args.seed, file=args.settings, **given
    )
    if args.demo:
        ensure_cells(data)
        if architecture.weights == "none":
            complain("random weights: nothing was downloaded, and simulated cells need no more")
    if args.join:
        join(
            flags.workspace_of(args),
            job,
            data=data,
            device=args.device,
            storage=args.storage,
            workers=max(1, args.workers),
        )
        return Status.DONE
    trained = train(
        flags.workspace_of(args),
        job,
        data=data,
        device=args.device,
        storage=args.storage,
        wandb=args.wandb,
        name=args.name,
        workers=max(1, args.workers),
    )
    say_trained(trained.scores, trained.out_of_fold, trials=trained.trials)
    say(f"model   {trained.model}")
    say(f"report  {trained.folder / 'report.html'}")
    return _explain(args) if args.demo else Status.DONE


def _test(args: argparse.Namespace) -> int:
    from sts.studies.sts.evaluate import test

    tested = test(flags.workspace_of(args), _look_job(args), device=args.device)
    say_scores(HELD_OUT, tested.scores)
    say(f"report  {tested.folder / 'report.html'}")
    return _say_left_out(tested.left_out)


def _explain(args: argparse.Namespace) -> int:
    from sts.studies.sts.explain import explain

    explained = explain(flags.workspace_of(args), _look_job(args), device=args.device)
    say_table(explained.attention.columns, explained.attention.rows)
    say(f"report  {explained.folder / 'report.html'}")
    return _say_left_out(explained.left_out)


def _look_job(args: argparse.Namespace) -> "LookJob":
    from sts.studies.sts.evaluate import LookJob

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
    from sts.studies.sts.predict import PredictJob, predict_cells

    source = new_cells_of(args, features=False)
    job = PredictJob(architecture=_architecture(args), source=source, name=args.name)
    found = predict_cells(flags.workspace_of(args), job, device=args.device, workers=args.workers)
    return say_called(found)


MODES: dict[str, Callable[[argparse.Namespace], int]] = {
    "TRAIN": _train,
    "TEST": _test,
    "EXPLAIN": _explain,
    "PREDICT": _predict,
}
