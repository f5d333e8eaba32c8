"""The commands that simulate cells, build data sets from recordings, and draw cells."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command, add_selection, data_of, reading_of, refuse_selection
from sts.cli.run import Status, complain, say, say_table

if TYPE_CHECKING:
    from sts.cli.flags import Commands
    from sts.datasets.build import BuildReport
    from sts.datasets.cell_results import BuildSettings
    from sts.studies.data.show import ShowSettings


def add_simulate(commands: "Commands") -> None:
    """Add `simulate`."""
    parser = add_command(
        commands,
        "simulate",
        _simulate,
        "Simulate cells and write them as NWB files. Four classes of Hodgkin-Huxley neurons, "
        "equally many of each, in two simulated data sets; labels.csv contains their classes.",
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


def _simulate(args: argparse.Namespace) -> int:
    from sts.studies.data.simulate import SimulateJob, plan_simulation, simulate

    job = SimulateJob(
        cells=args.cells,
        seed=args.seed,
        out=args.out or data_of(args) / "simulated" / "recordings",
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


def _add_recordings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="recordings (NWB, ABF, WinWCP, AxoGraph), searched with all sub-folders",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the data set to write, such as data/mine"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="CSV with specimen_id, label and perhaps dataset and donor_id; the published label "
        "file; or a metadata table of the Allen Institute (default: FOLDER/labels.csv if there is "
        "one)",
    )
    _add_files_of_cells(parser)
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE",
        help="CSV with specimen_id and perhaps mark and note, as the page of `view` exports it: "
        "leave out the cells marked `exclude`, or all of them where there is no column mark",
    )
    parser.add_argument(
        "--dataset",
        default="",
        metavar="NAME",
        help="the data set of the cells, for scores by data set (default: the name of DIR)",
    )
    add_selection(parser)
    flags.add_work(parser)
    flags.add_again(parser)


def _add_files_of_cells(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cells",
        type=Path,
        metavar="FILE",
        help="CSV with file, specimen_id and perhaps donor_id: which files are one cell, where "
        "every protocol has a file of its own; their sweeps are read together",
    )
    flags.add_series(parser)


def add_build(commands: "Commands") -> None:
    """Add `build`."""
    parser = add_command(
        commands,
        "build",
        _build,
        "Build a sweep store from recordings. It has the rheobase sweep of every cell and the one "
        "40 pA above it, at 4 kHz; cells.csv has the result of each cell.",
    )
    _add_recordings(parser)
    parser.add_argument(
        "--features", action="store_true", help="measure features in the same reading"
    )


def add_features(commands: "Commands") -> None:
    """Add `features`."""
    parser = add_command(
        commands,
        "features",
        _features,
        "Measure electrophysiology features. The definitions of the Allen Institute at the native "
        "rate, times from the stimulus onset, one row a cell.",
    )
    _add_recordings(parser)
    parser.add_argument(
        "--absolute-times",
        type=flags.any_case("PatchSeq", "PatchClamp"),
        choices=("PatchSeq", "PatchClamp"),
        help="write times as in this published table: 0.50 s or 1.02 s plus the time since the "
        "onset; the column `times` has their origin",
    )


def add_convert(commands: "Commands") -> None:
    """Add `convert`."""
    parser = add_command(
        commands,
        "convert",
        _convert,
        "Copy recordings to NWB 2 files. Of every format that can be read, with all current clamp "
        "sweeps, stimulus and response paired; converted.csv says what became of each file.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="recordings, or one recording")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the folder for the NWB files"
    )
    _add_files_of_cells(parser)
    flags.add_work(parser)
    parser.add_argument("--force", action="store_true", help="write files anew that are there")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, write nothing"
    )


def _convert(args: argparse.Namespace) -> int:
    from sts.studies.data.convert import ConvertJob, convert, find_todo, plan_conversion

    job = ConvertJob(
        folder=args.folder,
        out=args.out,
        cells=args.cells,
        series=args.series,
        workers=args.workers,
        cluster=args.cluster,
        force=args.force,
    )
    if args.dry_run:
        plan = plan_conversion(job)
        say(f"would write {len(find_todo(job, plan))} of {len(plan)} files to {job.out}")
        return Status.DONE
    report = convert(job)
    failures = [each for each in report.converted if each.status != "ok"]
    written = len(report.converted) - len(failures) - report.kept
    say(f"{written} NWB files written to {job.out}, {report.kept} were there already")
    say(f"table   {report.table}")
    for each in failures:
        complain(f"failed: {each.file}: {each.reason}")
    return Status.PARTIAL if failures else Status.DONE


def _build(args: argparse.Namespace) -> int:
    # The demo writes all products of a build.
    return _read_recordings(args, reading_of(args, features=args.features or args.demo))


def _features(args: argparse.Namespace) -> int:
    settings = reading_of(args, store=False, features=True)
    return _read_recordings(args, replace(settings, times=args.absolute_times or settings.times))


def _read_recordings(args: argparse.Namespace, settings: "BuildSettings") -> int:
    from sts.datasets.build import BuildJob, build, plan_build

    folder, out = _choose_folders(args)
    job = BuildJob(
        folder=folder,
        out=out,
        settings=settings,
        labels=args.labels,
        cells=args.cells,
        exclude=args.exclude,
        series=args.series,
        dataset=args.dataset,
        workers=args.workers,
        cluster=args.cluster,
        resume=args.resume,
        force=args.force,
    )
    if args.dry_run:
        plan = plan_build(job)
        say(f"would read {len(plan.todo)} of {len(plan.cells)} recordings in {folder} into {out}")
        return Status.DONE
    report = build(job)
    _print_report(report)
    _write_page(out, report)
    if args.demo:
        from sts.studies.data.show import ShowSettings

        _draw_cells(args, ShowSettings(data=str(out)))
    return Status.PARTIAL if report.failed else Status.DONE


def _write_page(out: Path, report: "BuildReport") -> None:
    from sts.studies.data.overview import update_overview

    say(f"{update_overview(out, report.files)}")


def _choose_folders(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return the folder to read and the one to write; a demo simulates its own recordings."""
    from sts.base.errors import StsError

    if args.demo and args.folder is None:
        from sts.recordings.simulated.cells import DEMO_SEED
        from sts.studies.data.simulate import SimulateJob, simulate

        folder = data_of(args) / "simulated" / "recordings"
        simulate(SimulateJob(cells=40, seed=DEMO_SEED, out=folder, workers=args.workers))
        return folder, args.out or folder.parent
    if args.folder is None:
        raise StsError("no FOLDER of recordings given: name one, or try the simulated --demo")
    if args.out is None:
        raise StsError(f"no --out given for {args.folder}: name the data set, such as data/mine")
    return args.folder, args.out


def _print_report(report: "BuildReport") -> None:
    from sts.base.files import list_some

    for product, counts in report.counts.items():
        known = ("ok", "excluded", "failed")
        say(f"{product}: " + ", ".join(f"{counts.get(status, 0)} {status}" for status in known))
        for reason, count in report.reasons[product].items():
            say(f"  {count} {reason}")
    if report.unlabelled:
        say(f"{report.unlabelled} cells have no label")
    if report.unused_labels:
        say(f"{report.unused_labels} labels have no recording here")
    if report.not_found:
        names = list_some(report.not_found)
        complain(f"{len(report.not_found)} cells to be excluded have no recording here: {names}")
    if not report.worked_on:
        say("everything was there already")
    for path in report.files:
        say(f"{path}")
    for failure in report.failures:
        complain(f"failed: {failure}")


def add_show(commands: "Commands") -> None:
    """Add `show`."""
    parser = add_command(
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
    add_selection(parser)


def _show(args: argparse.Namespace) -> int:
    if not any(Path(name).is_file() for name in args.specimen):
        refuse_selection(args, "cells of a sweep store are shown as they were built")
    from sts.studies.data.show import ShowSettings

    settings = ShowSettings(
        data=str(data_of(args)),
        specimens=tuple(args.specimen),
        seed=args.seed,
        reading=reading_of(args),
    )
    return _draw_cells(args, settings)


def _draw_cells(args: argparse.Namespace, settings: "ShowSettings") -> int:
    from sts.studies.data.show import show

    for path in show(flags.workspace_of(args), settings):
        say(f"{path}")
    return Status.DONE
