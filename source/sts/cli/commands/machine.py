"""`doctor` and `import-models`: this machine, and models of others."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command
from sts.cli.run import Status, say, say_table

if TYPE_CHECKING:
    from sts.cli.flags import Commands


def add_import(commands: "Commands") -> None:
    """Add `import-models`."""
    parser = add_command(
        commands,
        "import-models",
        _import_models,
        "Convert the published models. From their pickles, of which nothing is run, to models that "
        "TEST, EXPLAIN and PREDICT take.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="holds ResNet18_best_models and so on"
    )
    parser.add_argument("--force", action="store_true", help="replace models that are there")


def add_doctor(commands: "Commands") -> None:
    """Add `doctor`."""
    parser = add_command(
        commands,
        "doctor",
        _doctor,
        "Check this machine. Versions, cores, GPU, and one scalogram against its definition.",
    )
    flags.add_device(parser)


def _import_models(args: argparse.Namespace) -> int:
    from sts.studies.data.import_models import import_models

    for each in import_models(flags.workspace_of(args), args.folder, force=args.force):
        say(f"{each.name}  {each.pickle} -> {each.folder}")
    return Status.DONE


def _doctor(args: argparse.Namespace) -> int:
    from sts.studies.data.doctor import examine

    findings = examine(flags.workspace_of(args), device=args.device)
    say_table(("what", "found", "verdict"), [(f.what, f.found, f.verdict) for f in findings])
    return Status.DONE if all(f.sound for f in findings) else Status.USER
