"""--types of baseline_pipeline.py: its flags, and the results that it prints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.base.errors import StsError
from sts.cli.run import Status, say, say_table

if TYPE_CHECKING:
    from sts.base.workspace import Workspace


def add_types(parser: argparse.ArgumentParser) -> None:
    """Add the flags of TRAIN for a tree of types."""
    group = parser.add_argument_group("TRAIN, with a tree of types")
    group.add_argument(
        "--types",
        action="store_true",
        help="cross-validate one classifier down to T-types over all published data sets of mouse "
        "visual cortex in the data: scores and prediction sets on every level (no model is kept)",
    )
    group.add_argument(
        "--coverage",
        type=float,
        metavar="SHARE",
        help="share of new cells whose prediction set contains the true type (default: 0.9)",
    )


def check_types(args: argparse.Namespace) -> None:
    """Refuse flags that cannot be used with --types."""
    if not args.types:
        if args.coverage is not None:
            raise StsError("--coverage goes with --types")
        return
    if args.mode != "TRAIN":
        raise StsError("--types goes with TRAIN: leave out the mode")
    if args.coverage is not None and not 0 < args.coverage < 1:
        raise StsError(f"--coverage must lie between 0 and 1, not {args.coverage:g}")
    others = {
        "--transfer": args.transfer,
        "--with-networks": args.with_networks,
        "--published": args.published,
        "--features": args.features,
        "--times": args.times,
        "--settings": args.settings,
        "--table": args.table,
        "--labels": args.labels,
        "--demo": args.demo,
    }
    if unwanted := [name for name, value in others.items() if value]:
        raise StsError(
            f"--types has features, cells and settings of its own: leave out {unwanted[0]}"
        )


def say_types(args: argparse.Namespace, workspace: "Workspace", data: Path) -> int:
    """Run --types and print its table."""
    from sts.evaluation.type_scores import score_answers
    from sts.studies.classify.types.judge import TypesJob, judge_types
    from sts.studies.classify.types.pages import levels_table

    chosen = {"folds": args.folds, "coverage": args.coverage}
    job = TypesJob(seed=args.seed, **{k: v for k, v in chosen.items() if v is not None})
    judged = judge_types(workspace, job, data=data)
    scores = {name: score_answers(answers) for name, answers in judged.levels.items()}
    table = levels_table(scores)
    say_table(table.columns, table.rows)
    say()
    say(f"report  {judged.folder / 'report.html'}")
    return Status.DONE
