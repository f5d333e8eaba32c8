"""The arguments of data_pipeline.py and what it prints."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.cli import flags
from sts.cli.output import complain, say, say_table
from sts.cli.run import Status, run

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.data.build import BuildJob, BuildReport

# Importing a study takes seconds (numpy, h5py, torch); --help must not wait for that. So every
# command imports what it runs when it runs.


def main(argv: Sequence[str] | None = None) -> int:
    """Run data_pipeline.py with these arguments and return its exit status."""
    args = make_parser().parse_args(argv)
    return run(partial(_start, args))


def _start(args: argparse.Namespace) -> int:
    from sts.base.logs import set_up

    set_up(args.verbose - args.quiet)
    command: Callable[[argparse.Namespace], int] = args.command
    return command(args)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of data_pipeline.py."""
    parser = argparse.ArgumentParser(
        prog="data_pipeline.py",
        description="Everything before and after a network: simulated cells, sweep stores, "
        "features, pictures.",
        epilog="`build --demo` runs the whole path on simulated cells.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_simulate,
        _add_build,
        _add_features,
        _add_show,
        _add_compare,
        _add_import,
        _add_doctor,
    ):
        add(commands)
    return parser


_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def _add(
    commands: "_Commands[argparse.ArgumentParser]",
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    summary = text.split(".")[0]
    parser = commands.add_parser(name, help=summary[0].lower() + summary[1:], description=text)
    parser.set_defaults(command=command)
    flags.add_place(parser)
    return parser


def _add_simulate(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
        commands,
        "simulate",
        _simulate,
        "Make up cells and write them as NWB files. Four classes of Hodgkin-Huxley neurons, "
        "equally many of each, in two virtual data sets; a labels.csv says which is which.",
    )
    parser.add_argument(
        "--cells", type=flags.positive, default=40, metavar="N", help="(default: 40)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="(default: ROOT/data/simulated/recordings)"
    )
    flags.add_seed(parser)
    flags.add_work(parser)
    flags.add_again(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="recordings (NWB 2), searched with all sub-folders",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the data set to write, such as data/mine"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="CSV",
        help="specimen_id, label and perhaps dataset and donor_id "
        "(default: FOLDER/labels.csv if there is one)",
    )
    parser.add_argument(
        "--dataset",
        default="",
        metavar="NAME",
        help="where the cells come from, for scores by data set (default: the name of DIR)",
    )
    flags.add_work(parser)
    flags.add_again(parser)


def _add_build(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
        commands,
        "build",
        _build,
        "Turn recordings into a sweep store. Of every cell the rheobase sweep and the one 40 pA "
        "above it, at 4 kHz; cells.csv says what became of each cell.",
    )
    _add_source(parser)
    parser.add_argument(
        "--features", action="store_true", help="measure features in the same reading"
    )
    select = parser.add_argument_group("which sweeps")
    select.add_argument(
        "--step-tolerance",
        type=float,
        default=5.0,
        metavar="PA",
        help="how far from rheobase + 40 pA the second sweep may be (default: 5)",
    )
    select.add_argument(
        "--min-step",
        type=float,
        default=0.9,
        metavar="S",
        help="the shortest step to take; what is shorter than 0.9 s is flagged (default: 0.9)",
    )
    select.add_argument(
        "--hero",
        action="store_true",
        help="choose the second sweep by Allen's rule: the lowest step 39 to 61 pA above "
        "rheobase, else the closest",
    )


def _add_features(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
        commands,
        "features",
        _features,
        "Measure electrophysiology features. The definitions of the Allen Institute at the native "
        "rate, times from the stimulus onset, one row a cell.",
    )
    _add_source(parser)


def _add_show(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
        commands,
        "show",
        _show,
        "Draw a cell's two sweeps over their scalograms. As PNG and SVG, with true axes.",
    )
    parser.add_argument(
        "specimen",
        nargs="*",
        metavar="SPECIMEN",
        help="a specimen id, or a recording file (default: one cell of each class)",
    )
    flags.add_seed(parser)


def _add_compare(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
        commands,
        "compare",
        _compare,
        "Compare two runs on the same held-out cells. Paired differences with intervals, pooled "
        "and by data set.",
    )
    parser.add_argument("first", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("second", type=Path, metavar="RUN", help="the folder of another run")
    flags.add_seed(parser)


def _add_import(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
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


def _add_doctor(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(
        commands,
        "doctor",
        _doctor,
        "Check this machine. Versions, cores, GPU, and one scalogram against its definition.",
    )
    flags.add_device(parser)


def _workspace(args: argparse.Namespace) -> "Workspace":
    from sts.base.workspace import find_workspace

    workspace = find_workspace(args.root)
    return workspace.demo() if args.demo else workspace


def _data(args: argparse.Namespace) -> Path:
    data: Path = args.data or _workspace(args).data
    return data


def _simulate(args: argparse.Namespace) -> int:
    from sts.studies.data.simulate import SimulateJob, plan_simulation, simulate

    job = SimulateJob(
        cells=args.cells,
        seed=args.seed,
        out=args.out or _data(args) / "simulated" / "recordings",
        workers=args.workers,
        cluster=args.cluster,
        force=args.force,
    )
    if args.dry_run:
        say(f"would write {len(plan_simulation(job))} of {job.cells} cells to {job.out}")
        return Status.DONE
    report = simulate(job)
    say(f"{job.cells} cells in {job.out}, {report.written} of them written now")
    say_table(("dataset", "label", "cells"), report.counts)
    return Status.DONE


def _build(args: argparse.Namespace) -> int:
    from sts.signals.select import SelectSettings
    from sts.studies.data.build import BuildJob
    from sts.studies.data.cellwork import BuildSettings

    select = SelectSettings(
        step_tolerance_pa=args.step_tolerance, min_step_s=args.min_step, hero=args.hero
    )
    # The demo is to show all there is.
    settings = BuildSettings(select=select, features=args.features or args.demo)
    return _carry_out(args, partial(BuildJob, settings=settings))


def _features(args: argparse.Namespace) -> int:
    from sts.studies.data.build import BuildJob
    from sts.studies.data.cellwork import BuildSettings

    settings = BuildSettings(store=False, features=True)
    return _carry_out(args, partial(BuildJob, settings=settings))


def _carry_out(args: argparse.Namespace, make_job: "Callable[..., BuildJob]") -> int:
    from sts.studies.data.build import build, plan_build

    folder, out = _source(args)
    job = make_job(
        folder=folder,
        out=out,
        labels=args.labels,
        dataset=args.dataset,
        workers=args.workers,
        cluster=args.cluster,
        resume=args.resume,
        force=args.force,
    )
    if args.dry_run:
        plan = plan_build(job)
        say(f"would read {len(plan.todo)} of {len(plan.paths)} recordings in {folder} into {out}")
        return Status.DONE
    report = build(job)
    _tell(report)
    if args.demo:
        _draw(args, data=out)
    return Status.PARTIAL if report.failed else Status.DONE


def _source(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return what to read and where to write; a demo makes up its own recordings."""
    from sts.base.errors import StsError

    if args.demo and args.folder is None:
        from sts.studies.data.simulate import SimulateJob, simulate

        folder = _data(args) / "simulated" / "recordings"
        simulate(SimulateJob(cells=40, seed=0, out=folder, workers=args.workers))
        return folder, args.out or folder.parent
    if args.folder is None:
        raise StsError("no FOLDER of recordings given: name one, or try the simulated --demo")
    if args.out is None:
        raise StsError(f"no --out given for {args.folder}: name the data set, such as data/mine")
    return args.folder, args.out


def _tell(report: "BuildReport") -> None:
    for product, counts in report.counts.items():
        known = ("ok", "excluded", "failed")
        say(f"{product}: " + ", ".join(f"{counts.get(status, 0)} {status}" for status in known))
        for reason, count in report.reasons[product].items():
            say(f"  {count} {reason}")
    if report.unlabelled:
        say(f"{report.unlabelled} cells have no label")
    if report.unused_labels:
        say(f"{report.unused_labels} labels have no recording here")
    if not report.worked_on:
        say("everything was there already")
    for path in report.files:
        say(f"{path}")
    for failure in report.failures:
        complain(f"failed: {failure}")


def _show(args: argparse.Namespace) -> int:
    _draw(args, data=_data(args), specimens=tuple(args.specimen), seed=args.seed)
    return Status.DONE


def _draw(
    args: argparse.Namespace, *, data: Path, specimens: tuple[str, ...] = (), seed: int = 0
) -> None:
    from sts.studies.data.show import ShowSettings, show

    settings = ShowSettings(data=str(data), specimens=specimens, seed=seed)
    for path in show(_workspace(args), settings):
        say(f"{path}")


def _compare(args: argparse.Namespace) -> int:
    from sts.studies.data.compare import CompareJob, compare_runs

    job = CompareJob(first=str(args.first), second=str(args.second), seed=args.seed)
    compared = compare_runs(_workspace(args), job)
    say_table(compared.table.columns, compared.table.rows)
    say(f"report  {compared.folder / 'report.html'}")
    return Status.DONE


def _import_models(args: argparse.Namespace) -> int:
    from sts.studies.data.import_models import import_models

    for each in import_models(_workspace(args), args.folder, force=args.force):
        say(f"{each.name}  {each.pickle} -> {each.folder}")
    return Status.DONE


def _doctor(args: argparse.Namespace) -> int:
    from sts.studies.data.doctor import examine

    findings = examine(_workspace(args), device=args.device)
    say_table(("what", "found", "verdict"), [(f.what, f.found, f.verdict) for f in findings])
    return Status.DONE if all(f.sound for f in findings) else Status.USER
