"""--types of baseline_pipeline.py: its flags, and the results that it prints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.base.errors import StsError
from sts.cli.classify import read_coverage, say_predicted
from sts.cli.leave_out import FIRST_MODEL
from sts.cli.run import Status, say, say_table

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.classify.stored import CellSource


def add_types(parser: argparse.ArgumentParser) -> None:
    """Add the flags for a tree of types."""
    group = parser.add_argument_group("a tree of types")
    group.add_argument(
        "--types",
        action="store_true",
        help="cross-validate one classifier down to T-types over all published data sets of mouse "
        "visual cortex in the data, and store it; PREDICT: use it, or the released one",
    )
    group.add_argument(
        "--datasets",
        nargs="+",
        default=(),
        metavar="NAME",
        help="with --types: train on these published data sets, such as PatchSeq ExcitatoryV1 "
        "(default: those of mouse visual cortex)",
    )
    group.add_argument(
        "--release",
        type=Path,
        metavar="DIR",
        help="with --types: write the model here instead, with a card in words, to be given away",
    )
    group.add_argument(
        "--estimate-frequencies",
        action="store_true",
        help="PREDICT by a tree of types: the cells are of one laboratory, recorded as they came; "
        "estimate its class frequencies from them, without labels",
    )


def check_types(args: argparse.Namespace) -> None:
    """Refuse flags that cannot be used with --types, or without it."""
    read_coverage(args)
    if not args.types:
        if args.release is not None or (args.coverage is not None and args.mode != "PREDICT"):
            raise StsError(f"{'--release' if args.release else '--coverage'} goes with --types")
        if args.datasets:
            raise StsError("--datasets goes with --types")
        return
    if args.mode == "TEST":
        raise StsError("--types goes with TRAIN and PREDICT")
    if args.release is not None and (args.mode != "TRAIN" or args.name):
        raise StsError("--release names the place of a model that is trained: give no other")
    if args.release is not None and args.datasets:
        raise StsError(
            "--release is made from all data sets with known terms: leave out --datasets"
        )
    others = {
        "--transfer": args.transfer,
        "--with-networks": args.with_networks,
        "--published": args.published,
        "--features": args.features,
        "--times": args.times,
        "--settings": args.settings,
        "--model": args.model != FIRST_MODEL,
        "--trials": args.trials,
        "--skip-missing": args.skip_missing,
        "--group-by": args.group_by,
        "--storage": args.storage,
        "--wandb": args.wandb != "off",
        "--table": args.table and args.mode == "TRAIN",
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
    from sts.studies.classify.types.cells import TypesJob
    from sts.studies.classify.types.judge import judge_types
    from sts.studies.classify.types.pages import levels_table

    chosen = {"folds": args.folds, "coverage": args.coverage}
    job = TypesJob(
        datasets=tuple(dict.fromkeys(args.datasets)),
        seed=args.seed,
        **{k: v for k, v in chosen.items() if v is not None},
    )
    judged = judge_types(
        workspace, job, data=data, name=args.name, release=args.release, workers=args.workers
    )
    scores = {name: score_answers(answers) for name, answers in judged.levels.items()}
    table = levels_table(scores)
    say_table(table.columns, table.rows)
    say()
    say(f"model   {judged.place}")
    say(f"report  {judged.folder / 'report.html'}")
    return Status.DONE


def is_for_types(args: argparse.Namespace, model: Path) -> bool:
    """Tell whether PREDICT asks the tree of types: by choice, or for want of another model.

    Parameters
    ----------
    model
        The folder of the model that is used otherwise.
    """
    if args.types:
        return True
    chosen = (args.name, args.features, args.times, args.published, args.demo)
    is_unchosen = not any(chosen) and args.model == FIRST_MODEL
    return is_unchosen and not (model / "model.json").exists()


def predict_types(args: argparse.Namespace, workspace: "Workspace", source: "CellSource") -> int:
    """Run PREDICT by the tree of types and print its answers."""
    from sts.studies.classify.types.stored import TypesPredictJob, predict_by_types

    job = TypesPredictJob(
        source=source,
        name=args.name,
        coverage=args.coverage,
        estimate_frequencies=args.estimate_frequencies,
    )
    found = predict_by_types(workspace, job, workers=args.workers, write_nwb=args.write_nwb)
    return say_predicted(found)
