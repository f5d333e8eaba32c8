"""`fetch`: public recordings, tables and weights."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command, data_of
from sts.cli.run import Status, complain, say, say_table

if TYPE_CHECKING:
    from sts.cli.flags import Commands
    from sts.studies.data.fetch import FetchPlan
    from sts.studies.data.fetch_files import FetchJob, FetchReport


def add_fetch(commands: "Commands") -> None:
    """Add `fetch`."""
    parser = add_command(
        commands,
        "fetch",
        _fetch,
        "Download public recordings, tables and weights. Every file is verified before it gets its "
        "final name; after an interruption the same command continues. --list shows all sources "
        "with their sizes and terms.",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="sources of --list, which are fetched one after another",
    )
    parser.add_argument("--list", action="store_true", help="list what can be fetched")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to put one source (default: where the other commands look, in ROOT/data; "
        "weights go to torch's cache)",
    )
    _add_choice(parser)
    _add_network(parser)
    flags.add_again(parser)
    flags.add_seed(parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which cells (allen, dandi, kaggle)")
    group.add_argument(
        "--cells",
        nargs="+",
        metavar="ID",
        help="specimen ids, or a file of them: a list, a table with specimen_id, a split",
    )
    group.add_argument("--limit", type=flags.positive, metavar="N", help="the first N only")
    group.add_argument(
        "--stream",
        action="store_true",
        help="dandi: read only the needed sweeps on the server and keep excerpts; "
        "kaggle: read single files of the archive without fetching all of it",
    )
    group.add_argument(
        "--dandiset",
        metavar="ID/VERSION",
        help="another one than the study's (default: 000020/0.210913.1639)",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--api-url",
        default="",
        metavar="URL",
        help="another instance or a mirror (https only, except on this machine)",
    )
    group.add_argument(
        "--workers",
        type=flags.whole(1, 64),
        default=2,
        metavar="N",
        help="files at a time (default: 2)",
    )
    group.add_argument(
        "--retries",
        type=flags.whole(0, 1000),
        default=5,
        metavar="N",
        help="attempts after the first, each later than the one before (default: 5)",
    )
    group.add_argument(
        "--timeout",
        type=flags.above_zero,
        default=30.0,
        metavar="S",
        help="longest wait for a server without an answer (default: 30)",
    )


def _fetch(args: argparse.Namespace) -> int:
    if args.list or not args.sources:
        return _list(asked=args.list)
    from sts.studies.data.fetch import fetch, plan_fetch

    failed = False
    for job in _jobs(args):
        if args.dry_run:
            _tell_plan(plan_fetch(job), job)
            continue
        done = fetch(job)
        _tell(done, job)
        failed |= bool(done.failures)
    return Status.PARTIAL if failed else Status.DONE


def _jobs(args: argparse.Namespace) -> "list[FetchJob]":
    """Return the job of every source; all of them are checked before the first is fetched."""
    from sts.base.errors import StsError

    if len(args.sources) > 1 and args.out:
        raise StsError("--out is the folder of one source: leave it out, or fetch one at a time")
    return [_job(args, source) for source in dict.fromkeys(args.sources)]


def _job(args: argparse.Namespace, source: str) -> "FetchJob":
    from sts.archives.http_rules import RetrySettings
    from sts.archives.listings import DANDISET
    from sts.studies.data.fetch import default_folder, read_cell_ids
    from sts.studies.data.fetch_files import FetchJob

    data = None if source == "weights" else data_of(args)
    out = args.out or default_folder(source, data)
    return FetchJob(
        source=source,
        out=out,
        metadata=tuple(folder for folder in (out, data) if folder is not None),
        cells=None if args.cells is None else read_cell_ids(args.cells, source=source),
        limit=args.limit,
        api_url=args.api_url,
        dandiset=args.dandiset or DANDISET,
        workers=args.workers,
        retry=RetrySettings(timeout_s=args.timeout, retries=args.retries),
        seed=args.seed,
        force=args.force,
        stream=args.stream,
    )


def _list(*, asked: bool) -> int:
    from sts.archives.sources import SOURCES, format_size
    from sts.base.errors import StsError

    if not asked:
        raise StsError(f"no SOURCE given: choose from {', '.join(SOURCES)}; --list tells more")
    rows = [(s.name, s.about_files, format_size(s.about_bytes), s.what) for s in SOURCES.values()]
    say_table(("source", "files", "size", "what"), rows)
    for source in SOURCES.values():
        say(f"\n{source.name}: {source.home}")
        say(f"  terms   {source.terms}")
        say(f"  credit  {source.credit}")
    return Status.DONE


def _tell_plan(plan: "FetchPlan", job: "FetchJob") -> None:
    from sts.archives.sources import format_size

    for place, size in plan.todo:
        say(f"{place}  {format_size(size)}")
    without_size = f", and {plan.without_size} of unknown size" if plan.without_size else ""
    say(
        f"would fetch {len(plan.todo)} files, {format_size(plan.total_bytes)}{without_size}, into "
        f"{job.out}; {plan.there} are there already"
    )


def _tell(done: "FetchReport", job: "FetchJob") -> None:
    from sts.archives.sources import find_source

    source = find_source(job.source)
    say(
        f"{source.name}: {done.fetched} files fetched into {job.out}, {done.there} were there, "
        f"{len(done.failures)} failed"
    )
    for note in done.notes:
        say(f"  {note}")
    say(f"  terms   {source.terms}")
    say(f"  credit  {source.credit}")
    for failure in done.failures:
        complain(f"failed: {failure}")
