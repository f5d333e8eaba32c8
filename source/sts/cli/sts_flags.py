"""The arguments of the modes of sts_pipeline.py."""

import argparse
from pathlib import Path

from sts.cli import flags
from sts.cli.called import add_new_cells, add_workers
from sts.cli.selection import add_selection


def add_training(parser: argparse.ArgumentParser) -> None:
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


def add_looking(parser: argparse.ArgumentParser) -> None:
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
