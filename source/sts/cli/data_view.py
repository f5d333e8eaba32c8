"""`view`: all cells of a data set in one page for the browser."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command
from sts.cli.run import Status, say

if TYPE_CHECKING:
    from sts.cli.flags import Commands


def add_view(commands: "Commands") -> None:
    """Add `view`."""
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
