"""Flags that mean the same in every script."""

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sts.base.bounds import MAX_PIXELS, MAX_SIDE, SEEDS, Bounds, shorten

if TYPE_CHECKING:
    from sts.base.workspace import Workspace

WANDB_MODES = ("off", "offline", "online")


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return what takes a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        return int(_number(int, text, Bounds(low, high), "a whole number"))

    return parse


def real(bounds: Bounds) -> Callable[[str], float]:
    """Return what takes a number within bounds."""

    def parse(text: str) -> float:
        return float(_number(float, text, bounds, "a number"))

    return parse


def _number(kind: type, text: str, bounds: Bounds, words: str) -> float:
    try:
        number: float = kind(text)
    except ValueError:
        number = math.nan
    if not bounds.hold(number):
        raise argparse.ArgumentTypeError(f"wanted {words} of {bounds}, got {shorten(text)}")
    return number


# Past any use: what is asked for by mistake is refused before memory or years are spent on it.
positive = whole(1, 1_000_000)
natural = whole(0, 1_000_000)
workers = whole(0, 1024)
folds = whole(2, 100)
seed = whole(0, SEEDS - 1)
above_zero = real(Bounds(0, 1e9, open_low=True))
not_negative = real(Bounds(0, 1e9))
share = real(Bounds(0, 1, open_low=True))
part = real(Bounds(0, 1, open_high=True))


def size(text: str) -> tuple[int, int]:
    """Return height and width in pixels, of one number or of two with an x between them."""
    height, between, width = text.lower().partition("x")
    side = whole(1, MAX_SIDE)
    sides = side(height), side(width if between else height)
    if sides[0] * sides[1] > MAX_PIXELS:
        raise argparse.ArgumentTypeError(
            f"wanted at most {MAX_PIXELS:,} pixels, got {sides[0]} x {sides[1]}"
        )
    return sides


def plain_name(text: str) -> str:
    """Return a name that files and folders can have and that leads nowhere else."""
    from sts.base.errors import StsError
    from sts.base.model_files import check_plain_name

    try:
        return check_plain_name(text)
    except StsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def any_case(*choices: str) -> Callable[[str], str]:
    """Return what takes one of these names in upper or lower case; others it leaves as they are."""
    known = {name.lower(): name for name in choices}

    def name(text: str) -> str:
        return known.get(text.lower(), text)

    return name


def add_name(parser: "argparse._ActionsContainer") -> None:
    """Add the name of a model of one's own."""
    parser.add_argument(
        "--name",
        type=plain_name,
        metavar="NAME",
        help="keep the model under this name, and find it there (default: the usual place)",
    )


def add_columns(parser: "argparse._ActionsContainer") -> None:
    """Add what says which columns of a table are which features."""
    parser.add_argument(
        "--columns",
        type=Path,
        metavar="CSV",
        help="which columns of --table are which features, and in which unit: lines of "
        "source,feature,factor,offset",
    )


def refuse_columns(args: argparse.Namespace) -> None:
    """Refuse --columns without the table that it is of."""
    from sts.base.errors import StsError

    if args.columns is not None and args.table is None:
        raise StsError("--columns says what the columns of a table are: name it with --table")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add what says where things are and how much is told."""
    group = parser.add_argument_group("everywhere the same")
    group.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="the workspace (default: the nearest folder upward that holds data/, models/ or "
        "output/, else this one)",
    )
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="read data from here (default: ROOT/data)"
    )
    group.add_argument(
        "--demo", action="store_true", help="work on simulated cells, in ROOT/output/demo"
    )
    group.add_argument("-v", "--verbose", action="count", default=0, help="tell more")
    group.add_argument("-q", "--quiet", action="count", default=0, help="tell less")


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add what says how work is shared out."""
    group = parser.add_argument_group("work")
    group.add_argument(
        "--workers",
        type=workers,
        default=0,
        metavar="N",
        help="processes (default: as many as the cores this process may use)",
    )
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="share the work out on a Dask scheduler (tls://..., or a loopback address)",
    )


def add_again(parser: argparse.ArgumentParser) -> None:
    """Add what says how to treat what is there already."""
    group = parser.add_argument_group("what is there already")
    group.add_argument(
        "--resume", action="store_true", help="keep what is finished there, add what is new"
    )
    group.add_argument("--force", action="store_true", help="throw away what is there")
    group.add_argument(
        "--dry-run", action="store_true", help="say what would be done, write nothing"
    )


def add_device(parser: argparse.ArgumentParser, *, auto: str = "a GPU if there is one") -> None:
    """Add the choice of a device; `auto` says which one is taken by default."""
    parser.add_argument(
        "--device",
        type=str.lower,
        default="auto",
        help=f"cpu, cuda, cuda:N or auto: {auto} (default: auto)",
    )


def add_wandb(group: "argparse._ActionsContainer") -> None:
    """Add the choice of a mirror of the run."""
    group.add_argument(
        "--wandb",
        type=any_case(*WANDB_MODES),
        choices=WANDB_MODES,
        default="off",
        help="mirror the run to Weights & Biases (default: off; only online uses the network)",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the seed that everything random derives from."""
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")


def given_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, str]:
    """Return the options that were typed, each by the name of its value."""
    unset = object()
    options = {
        action.dest: action.option_strings[-1]
        for action in parser._actions
        # A counted flag begins at its default; it only says how much is told.
        if action.option_strings and not isinstance(action, argparse._CountAction)
    }
    # A value that is there already keeps the parser from setting its default.
    found = parser.parse_args(words, argparse.Namespace(**dict.fromkeys(options, unset)))
    return {dest: flag for dest, flag in options.items() if getattr(found, dest) is not unset}


def check_mode(given: Mapping[str, str], mode: str, takes: Mapping[str, Iterable[str]]) -> None:
    """Refuse an option that this mode would ignore.

    Parameters
    ----------
    given
        Options that were typed, by the names of their values.
    takes
        The modes that look at an option; one that is not named belongs to all.
    """
    from sts.base.errors import StsError

    for dest, flag in given.items():
        if mode not in (modes := tuple(takes.get(dest, (mode,)))):
            raise StsError(
                f"{flag} belongs to {' and '.join(modes)}, and {mode} would ignore it: leave it out"
            )


def check_again(args: argparse.Namespace) -> None:
    """Refuse to keep and to throw away what is there at once."""
    from sts.base.errors import StsError

    if getattr(args, "resume", False) and getattr(args, "force", False):
        raise StsError(
            "--resume keeps what is there and --force throws it away: give one of the two"
        )


def workspace_of(args: argparse.Namespace) -> "Workspace":
    """Return the workspace that the arguments name, or its demo."""
    from sts.base.workspace import find_workspace

    workspace = find_workspace(args.root)
    return workspace.demo() if args.demo else workspace
