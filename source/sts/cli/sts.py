"""The arguments of sts_pipeline.py and what it prints."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.errors import StsError
from sts.base.logs import program
from sts.cli import flags
from sts.cli.classify import (
    add_new_cells,
    add_workers,
    new_cells_of,
    read_coverage,
    run_mode,
    say_predicted,
    say_tested,
    say_trained,
)
from sts.cli.flags import SELECTION, add_selection
from sts.cli.run import Status, complain, say, say_table

if TYPE_CHECKING:
    from sts.networks.backbones import Architecture
    from sts.studies.classify.networks.stored import StoredNetworkJob
    from sts.studies.classify.pages import LeftOut

NETWORK_NAMES = {
    1: "ResNet18",
    2: "InceptionV3",
    3: "DenseNet121",
    4: "MobileNetV2",
    5: "TraceNet",
}
# It takes the sweeps themselves: it has no ImageNet weights, and no scalogram for EXPLAIN.
TRACE_NETWORK = 5
FREEZE = ("FULL", "NONE")
# The modes that use an option; an option without an entry belongs to all.
_TAKEN_BY = {
    "data": ("TRAIN", "TEST", "EXPLAIN"),
    "weights": ("TRAIN",),
    "group_by": ("TRAIN",),
    "seed": ("TRAIN", "TEST", "EXPLAIN"),
    "trials": ("TRAIN",),
    "folds": ("TRAIN",),
    "epochs": ("TRAIN",),
    "image_size": ("TRAIN",),
    "one_sweep": ("TRAIN",),
    "settings": ("TRAIN",),
    "class_weights": ("TRAIN",),
    "compile": ("TRAIN",),
    "storage": ("TRAIN",),
    "join": ("TRAIN",),
    "wandb": ("TRAIN",),
    "scalograms": ("TEST", "EXPLAIN"),
    "cells": ("EXPLAIN",),
    "rigs": ("TRAIN", "TEST", "EXPLAIN"),
    "recordings": ("PREDICT",),
    "series": ("PREDICT",),
    "write_nwb": ("PREDICT",),
    "coverage": ("PREDICT",),
    "cells_from": ("PREDICT",),
    "workers": ("TRAIN", "PREDICT"),
}
_TAKEN_BY |= dict.fromkeys(SELECTION, ("PREDICT",))
# Number of left-out cells that are printed; a file lists all of them.
MOST_LEFT_OUT = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run sts_pipeline.py with these arguments and return its exit status."""
    return run_mode(make_sts_parser(), argv, _MODES, taken_by=_TAKEN_BY, check=_check)


def _check(args: argparse.Namespace) -> None:
    """Refuse --rigs where no simulated cells are made."""
    if args.rigs and (args.data is not None or not args.demo):
        raise StsError("--rigs chooses the simulated cells of --demo, without --data")


def make_sts_parser() -> argparse.ArgumentParser:
    """Return the parser of sts_pipeline.py."""
    parser = argparse.ArgumentParser(
        prog=program("sts_pipeline.py"),
        description="Train, test, explain and use convolutional networks on scalograms or sweeps.",
        epilog="`%(prog)s 1 TRAIN NONE --demo` runs it all on simulated cells.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "model",
        type=int,
        choices=NETWORK_NAMES,
        metavar="MODEL_NO",
        help=", ".join(f"{number} {name}" for number, name in NETWORK_NAMES.items()),
    )
    parser.add_argument(
        "mode",
        type=str.upper,
        choices=_MODES,
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
    parser.add_argument(
        "--rigs",
        type=str.lower,
        choices=("plain", "varied"),
        help="with --demo: cells of the demo's rig (default), or of random ones, which differ in "
        "noise, rate, filter, holding current and length of the step",
    )
    _add_training(parser)
    _add_cells(parser)
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Add the options of TRAIN."""
    group = parser.add_argument_group("TRAIN")
    group.add_argument(
        "--weights",
        type=flags.any_case("imagenet", "none"),
        metavar="W",
        help="imagenet (default), none for random ones, or a file of this network's weights",
    )
    _add_search(group)
    group.add_argument(
        "--epochs", type=flags.positive, metavar="N", help="largest number (default: 100)"
    )
    group.add_argument(
        "--image-size",
        type=flags.size,
        metavar="PIXELS",
        help="side of square images, or height x width such as 32x384 (default: 224, InceptionV3 "
        "299)",
    )
    group.add_argument(
        "--one-sweep",
        action="store_true",
        help="train on the rheobase sweep alone: PREDICT then takes cells with a single sweep, too",
    )
    group.add_argument(
        "--group-by",
        type=str.lower,
        choices=("specimen", "donor"),
        default="donor",
        help="TRAIN: cells to keep together on one side of a split and in one fold (default: "
        "donor, where donors are known)",
    )
    group.add_argument(
        "--class-weights", action="store_true", help="give all classes the same weight in the loss"
    )
    group.add_argument(
        "--compile", action="store_true", help="compile the network (pays on long runs on a GPU)"
    )
    flags.add_wandb(group)


def _add_search(group: "argparse._ActionsContainer") -> None:
    """Add the options of the search of settings."""
    group.add_argument(
        "--trials", type=flags.positive, metavar="N", help="settings to try (default: 50)"
    )
    group.add_argument("--folds", type=flags.folds, metavar="N", help="(default: 3)")
    group.add_argument(
        "--settings",
        type=Path,
        metavar="JSON",
        help="train with these settings instead of searching",
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
        help="take part in the search of another TRAIN with the same arguments, then stop",
    )


def _add_cells(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose cells."""
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
        "TRAIN: processes that search together and share the GPUs, or the CPU (for TRAIN the "
        "default is 1); PREDICT: recordings read in parallel",
    )
    add_selection(parser)


def _data(args: argparse.Namespace) -> Path:
    workspace = flags.workspace_of(args)
    if args.data is not None or not args.demo:
        return Path(args.data or workspace.data)
    from sts.datasets.demo import STORE_FOLDER, VARIED_FOLDER

    return workspace.data / (VARIED_FOLDER if args.rigs == "varied" else STORE_FOLDER)


def _architecture(args: argparse.Namespace) -> "Architecture":
    from sts.networks.backbones import Architecture

    has_no_others = args.demo or args.model == TRACE_NETWORK
    weights = args.weights or ("none" if has_no_others else "imagenet")
    return Architecture(number=args.model, freeze=args.freeze, weights=weights)


def _train(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.training import (
        demo_job,
        join_search,
        make_network_job,
        train_scalogram_network,
    )

    workspace, data, architecture = flags.workspace_of(args), _data(args), _architecture(args)
    job = (demo_job if args.demo else make_network_job)(
        architecture,
        group_by=args.group_by,
        seed=args.seed,
        file=args.settings,
        trials=args.trials,
        folds=args.folds,
        epochs=args.epochs,
        image_size=args.image_size,
        one_sweep=args.one_sweep,
        class_weights=args.class_weights or None,
        compile=args.compile or None,
    )
    if args.demo:
        from sts.datasets.demo import ensure_store

        ensure_store(data, rigs=args.rigs or "plain")
        if architecture.weights == "none":
            complain(
                "random weights: nothing was downloaded; simulated cells need no other weights"
            )
    shared = {
        "data": data,
        "device": args.device,
        "storage": args.storage,
        "workers": max(1, args.workers),
    }
    if args.join:
        join_search(workspace, job, **shared)
        return Status.DONE
    say_trained(train_scalogram_network(workspace, job, wandb=args.wandb, name=args.name, **shared))
    return _explain(args) if args.demo and args.model != TRACE_NETWORK else Status.DONE


def _test(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.stored import test_network

    tested = test_network(flags.workspace_of(args), _stored_job(args), device=args.device)
    say_tested(tested)
    return _say_left_out(tested.left_out)


def _explain(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.explain import explain_network

    explained = explain_network(flags.workspace_of(args), _stored_job(args), device=args.device)
    say_table(explained.attention.columns, explained.attention.rows)
    say(f"report  {explained.folder / 'report.html'}")
    return _say_left_out(explained.left_out)


def _stored_job(args: argparse.Namespace) -> "StoredNetworkJob":
    from sts.studies.classify.networks.stored import StoredNetworkJob

    return StoredNetworkJob(
        architecture=_architecture(args),
        data=str(_data(args)),
        cells=tuple(args.cells),
        scalograms=args.scalograms,
        seed=args.seed,
        name=args.name,
    )


def _say_left_out(left_out: "Sequence[LeftOut]") -> int:
    for cell in left_out[:MOST_LEFT_OUT]:
        complain(f"left out: {cell.specimen_id}: {cell.reason}")
    if len(left_out) > MOST_LEFT_OUT:
        complain(f"left out: {len(left_out) - MOST_LEFT_OUT} more cells, listed in left-out.csv")
    return Status.PARTIAL if left_out else Status.DONE


def _predict(args: argparse.Namespace) -> int:
    from sts.studies.classify.networks.stored import NetworkPredictJob, predict_by_network

    source = new_cells_of(args, features=False)
    job = NetworkPredictJob(
        architecture=_architecture(args), source=source, name=args.name, **read_coverage(args)
    )
    workspace = flags.workspace_of(args)
    found = predict_by_network(
        workspace, job, device=args.device, workers=args.workers, write_nwb=args.write_nwb
    )
    return say_predicted(found)


_MODES: dict[str, Callable[[argparse.Namespace], int]] = {
    "TRAIN": _train,
    "TEST": _test,
    "EXPLAIN": _explain,
    "PREDICT": _predict,
}
