"""data_pipeline.py: its parser, and the commands that check and show data, runs and the machine.

Importing a study takes seconds (numpy, h5py, torch); --help must not wait for that. Therefore every
command imports its study when it runs.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.errors import StsError
from sts.base.logs import program
from sts.cli import flags
from sts.cli.data_build import add_build, add_convert, add_features, add_show, add_simulate
from sts.cli.data_fetch import add_fetch
from sts.cli.flags import add_command, data_of
from sts.cli.run import Status, complain, parse_arguments, run_command, say, say_table

if TYPE_CHECKING:
    from sts.cli.flags import Commands
    from sts.datasets.medians import Medians

# The heading above the findings of each severity.
HEADINGS = {"change": "must be changed", "note": "to know"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run data_pipeline.py with these arguments and return its exit status."""
    args = parse_arguments(make_data_parser(), argv)
    return run_command(args, _start)


def _start(args: argparse.Namespace) -> int:
    flags.check_again(args)
    command: Callable[[argparse.Namespace], int] = args.command
    return command(args)


def make_data_parser() -> argparse.ArgumentParser:
    """Return the parser of data_pipeline.py."""
    parser = argparse.ArgumentParser(
        prog=program("data_pipeline.py"),
        description="Everything before and after a network: simulated cells, sweep stores, "
        "features, pictures.",
        epilog="`%(prog)s build --demo` runs the whole path on simulated cells.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        *(add_fetch, add_simulate, add_build, add_features, add_convert),
        *(_add_check, add_show, _add_compare, _add_checklist, _add_import, _add_doctor),
        *(_add_view, _add_figure),
    ):
        add(commands)
    return parser


def _add_check(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "check",
        _check,
        "Count the cells in data/ and list contradictions. From labels, splits, tables of features "
        "and sweep stores: the number of cells of each class and data set, the medians of all "
        "features by data set, and contradictions. Exit status 2 if something must be changed.",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="show the medians of this table of features beside those of the data sets",
    )
    flags.add_columns(parser)
    parser.add_argument(
        "--marks",
        type=Path,
        metavar="CSV",
        help="list the cells that were marked in the viewer, from the table that it exports",
    )
    parser.add_argument(
        "--out", type=Path, metavar="CSV", help="write every case there, not only some of each kind"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="HTML",
        help="write a page there with classes, cells that were left out and why, medians of "
        "features by data set, and sweeps of each class",
    )


def _check(args: argparse.Namespace) -> int:
    from sts.datasets.check import check, write_cases
    from sts.datasets.inventory import COUNTED
    from sts.datasets.medians import compare_medians

    flags.refuse_columns(args)
    checked = check(data_of(args), marks=args.marks, may_be_empty=args.table is not None)
    for path in checked.paths:
        say(f"read {path}")
    say()
    say_table(("data set", "class", *COUNTED), checked.counts)
    medians = compare_medians(data_of(args), table=args.table, columns=args.columns)
    _say_medians(medians)
    for severity, heading in HEADINGS.items():
        if lines := checked.lines(severity):
            say(f"\n{heading}:")
            for line in lines:
                say(f"  {line}")
    if not checked.cases:
        say("\nno contradictions")
    if args.out is not None:
        write_cases(args.out, checked)
        say(f"\n{args.out}")
    if args.page is not None:
        from sts.studies.data.overview import write_overview

        write_overview(args.page, checked.inventory, medians)
        say(f"\n{args.page}")
    return Status.USER if checked.must_change else Status.DONE


def _say_medians(medians: "Medians") -> None:
    from sts.datasets.medians import RANGE_MARK

    if len(medians.header) > len(("feature", "unit")):
        say("\nmedians by data set:")
        say_table(medians.header, medians.rows)
        if medians.has_marks:
            say(f"{RANGE_MARK} outside the plausible range: wrong unit or origin of times")
    for fault in medians.faults:
        complain(f"no medians: {fault}")


def _add_compare(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "compare",
        _compare,
        "Compare two runs on the same held-out cells. Paired differences with intervals, pooled "
        "and by data set.",
    )
    parser.add_argument("first", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("second", type=Path, metavar="RUN", help="the folder of another run")
    flags.add_seed(parser)


def _compare(args: argparse.Namespace) -> int:
    from sts.studies.data.compare import CompareJob, compare_runs

    job = CompareJob(first=str(args.first), second=str(args.second), seed=args.seed)
    compared = compare_runs(flags.workspace_of(args), job)
    say_table(compared.table.columns, compared.table.rows)
    say()
    for sentence in compared.cells:
        say(sentence)
    say(f"report  {compared.folder / 'report.html'}")
    return Status.DONE


def _add_checklist(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "checklist",
        _checklist,
        "Fill in a reporting checklist from the files of a run. The items are those of REFORMS and "
        "DOME. What the run does not record is said to be missing.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument(
        "--answers",
        type=Path,
        metavar="TOML",
        help='answers by hand, lines such as "REFORMS 1b" = "text"',
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="JSON",
        help="the manifest.json of the data set of the run, if it was built from recordings",
    )
    parser.add_argument(
        "--out", type=Path, metavar="MD", help="(default: reporting.md in the folder of the run)"
    )


def _checklist(args: argparse.Namespace) -> int:
    from sts.reports.checklist import CHECKLIST_NAME, fill_checklist, write_checklist

    items = fill_checklist(args.run, manifest=args.manifest, answers=args.answers)
    out = args.out or args.run / CHECKLIST_NAME
    write_checklist(out, items, run=args.run)
    answered = sum(item.is_answered for item in items)
    say(f"{answered} of {len(items)} items have an answer")
    say(f"checklist  {out}")
    return Status.DONE


def _add_import(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "import-models",
        _import_models,
        "Convert the published models. From their pickles, without running any code in them, to "
        "models for TEST, EXPLAIN and PREDICT.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="the folder with ResNet18_best_models and others",
    )
    parser.add_argument("--force", action="store_true", help="replace models that are there")


def _import_models(args: argparse.Namespace) -> int:
    from sts.networks.published import import_models

    for each in import_models(flags.workspace_of(args).models, args.folder, force=args.force):
        say(f"{each.name}  {each.pickle} -> {each.folder}")
    return Status.DONE


def _add_doctor(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "doctor",
        _doctor,
        "Check this machine. Versions, cores, GPU, and one scalogram against its definition.",
    )
    flags.add_device(parser)


def _doctor(args: argparse.Namespace) -> int:
    from sts.studies.data.doctor import examine

    findings = examine(flags.workspace_of(args), device=args.device)
    say_table(("what", "found", "verdict"), [(f.what, f.found, f.verdict) for f in findings])
    return Status.DONE if all(f.sound for f in findings) else Status.USER


def _add_view(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "view",
        _view,
        "Write a page to look at all cells with. One HTML file that needs no server and no "
        "network: a map, a list with filters, and for each cell its sweeps, scalograms, "
        "predictions, features and nearest cells. Marks are exported from it as CSV, for `build "
        "--exclude` and `check --marks`.",
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="RUN",
        help="the folder of a run: show its predictions, and write the page there",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="(default: view.html in the folder of the run, else in that of the data)",
    )
    parser.add_argument(
        "--map",
        type=flags.any_case("pca", "tsne"),
        choices=("pca", "tsne"),
        default="pca",
        help="how cells are placed on the map: by principal components, or by t-SNE, which takes "
        "half a minute for 4,500 cells (default: pca)",
    )
    parser.add_argument(
        "--map-from",
        type=flags.any_case("auto", "network", "table"),
        choices=("auto", "network", "table"),
        default="auto",
        help="what places the cells: the features of the network that made the predictions, or the "
        "table of features (default: auto, the network where --run has one)",
    )
    parser.add_argument(
        "--max-cells",
        type=flags.whole(1, 20_000),
        default=4500,
        metavar="N",
        help="cells on a page; more are divided into view.html, view-2.html and so on, by data "
        "set and id (default: 4500, about 30 MB)",
    )
    flags.add_seed(parser)


def _view(args: argparse.Namespace) -> int:
    from sts.studies.data.view import ViewJob, find_data_of_run, find_run, view_cells

    workspace = flags.workspace_of(args)
    run = find_run(workspace, args.run) if args.run else None
    of_run = find_data_of_run(run) if run else None
    viewed = view_cells(
        ViewJob(
            data=args.data or of_run or workspace.data,
            run=run,
            out=args.out,
            map_kind=args.map,
            map_from=args.map_from,
            seed=args.seed,
            max_cells=args.max_cells,
        )
    )
    say(
        f"{viewed.cells} cells, {viewed.with_sweeps} of them with sweeps, {viewed.with_answers} "
        "with predictions"
    )
    say(viewed.map_words)
    for path in viewed.paths:
        say(f"page    {path}")
    return Status.DONE


def _add_figure(commands: "Commands") -> None:
    parser = add_command(
        commands,
        "figure",
        _figure,
        "Make a figure of a published study anew, for print. From the files of a run, at the "
        "width of one column (85 mm) or two (175 mm): PDF, PNG (300 dpi), the data behind it as "
        "CSV, and its caption. --list names all figures, and the runs they are made of.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="such as sts-3; see --list")
    parser.add_argument("--list", action="store_true", help="list all figures, and write nothing")
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="the folder of a run; again for each model that a figure compares",
    )
    parser.add_argument(
        "--cell", default="", metavar="SPECIMEN", help="the cell of sts-1 (default: by chance)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default: ROOT/output/figures)")
    flags.add_seed(parser)


def _figure(args: argparse.Namespace) -> int:
    from sts.reports.publications.source import FigureSource
    from sts.reports.publications.table import PUBLICATIONS, draw_publication
    from sts.studies.data.view import find_run

    if args.list:
        say_table(
            ("figure", "made of a run of", "shows"),
            [
                (name, each.made_by or "--data, a sweep store", each.shows)
                for name, each in PUBLICATIONS.items()
            ],
        )
        return Status.DONE
    if args.name is None:
        raise StsError("no NAME of a figure given: --list names all")
    workspace = flags.workspace_of(args)
    source = FigureSource(
        runs=tuple(find_run(workspace, run) for run in args.run),
        data=data_of(args),
        cell=args.cell,
        seed=args.seed,
    )
    made = draw_publication(args.name, source, args.out or workspace.output / "figures")
    for path in made.files:
        say(f"{path}")
    return Status.DONE
