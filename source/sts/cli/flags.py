"""Flags that mean the same in every script, and checks of their values."""

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sts.base.settings import MAX_PIXELS, MAX_SIDE, SEEDS, Bounds, shorten

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.datasets.cell_results import BuildSettings
    from sts.signals.quality import QualitySettings

    # The type that add_subparsers returns has no public name.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Importing a study takes seconds (numpy, h5py, torch), and --help must not wait for that: every
# command imports what it needs when it runs.

WANDB_MODES = ("off", "offline", "online")
# Flags that select sweeps, by the names of their values; None if not given.
SELECTION = {
    "min_step": "--min-step",
    "max_step": "--max-step",
    "step_tolerance": "--step-tolerance",
    "hero": "--hero",
    "quality": "--quality",
}


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        return int(_number(int, text, Bounds(low, high), "a whole number"))

    return parse


def real(bounds: Bounds) -> Callable[[str], float]:
    """Return a parser of numbers within bounds."""

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


# Types of flags. Their upper ends are far above any use: a mistyped number is refused at once.
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
    """Return height and width in pixels from a text such as 224 or 180x4800."""
    height, cross, width = text.lower().partition("x")
    side = whole(1, MAX_SIDE)
    sides = side(height), side(width if cross else height)
    if sides[0] * sides[1] > MAX_PIXELS:
        raise argparse.ArgumentTypeError(
            f"wanted at most {MAX_PIXELS:,} pixels, got {sides[0]} x {sides[1]}"
        )
    return sides


def plain_name(text: str) -> str:
    """Return a name after checking that it can name a file or folder, and no other place."""
    from sts.base.errors import StsError
    from sts.base.model_files import check_plain_name

    try:
        return check_plain_name(text)
    except StsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def any_case(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts these names in upper or lower case, and other text unchanged."""
    known = {name.lower(): name for name in choices}

    def name(text: str) -> str:
        return known.get(text.lower(), text)

    return name


def add_command(
    commands: "Commands",
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    """Add a command; the first sentence of `text` describes it in the list of commands."""
    summary = text.split(".")[0]
    parser = commands.add_parser(name, help=summary[0].lower() + summary[1:], description=text)
    parser.set_defaults(command=command)
    add_place(parser)
    return parser


def add_name(parser: "argparse._ActionsContainer") -> None:
    """Add --name, the user's own name for a model."""
    parser.add_argument(
        "--name",
        type=plain_name,
        metavar="NAME",
        help="store the model under this name, and look for it there (default: the usual place)",
    )


def add_columns(parser: "argparse._ActionsContainer") -> None:
    """Add the flag for a map of the columns of a table to features."""
    parser.add_argument(
        "--columns",
        type=Path,
        metavar="CSV",
        help="which columns of --table are which features, and in which unit: lines of "
        "source,feature,factor,offset",
    )


def refuse_columns(args: argparse.Namespace) -> None:
    """Refuse --columns without its table."""
    from sts.base.errors import StsError

    if args.columns is not None and args.table is None:
        raise StsError("--columns maps the columns of a table: give the table with --table")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the flags for folders and for the amount of messages."""
    group = parser.add_argument_group("everywhere the same")
    group.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="the workspace (default: the nearest folder upward that contains data/, models/ or "
        "output/, else this one)",
    )
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="read data from here (default: ROOT/data)"
    )
    group.add_argument(
        "--demo", action="store_true", help="work on simulated cells, in ROOT/output/demo"
    )
    group.add_argument("-v", "--verbose", action="count", default=0, help="more messages")
    group.add_argument("-q", "--quiet", action="count", default=0, help="fewer messages")


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add the flags for parallel work."""
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
        help="do the work on a Dask cluster (tls://..., or a loopback address)",
    )


def add_again(parser: argparse.ArgumentParser) -> None:
    """Add the flags for results that exist already."""
    group = parser.add_argument_group("results that exist already")
    group.add_argument(
        "--resume", action="store_true", help="keep the finished results, add the missing ones"
    )
    group.add_argument("--force", action="store_true", help="delete the results and start again")
    group.add_argument(
        "--dry-run", action="store_true", help="show what would be done, write nothing"
    )


def add_series(parser: "argparse._ActionsContainer") -> None:
    """Add the pattern of files that hold one channel of one sweep each."""
    parser.add_argument(
        "--series",
        default="",
        metavar="PATTERN",
        help="Igor files of one channel and one sweep each, such as 'cell*/steps_ch{0,1}_*.ibw': "
        "braces name the channels, the star in the file names the sweep, a folder is a cell",
    )


def add_device(parser: argparse.ArgumentParser, *, auto: str = "a GPU if there is one") -> None:
    """Add the choice of a device; `auto` describes the default for the help text."""
    parser.add_argument(
        "--device",
        type=str.lower,
        default="auto",
        help=f"cpu, cuda, cuda:N or auto: {auto} (default: auto)",
    )


def add_wandb(group: "argparse._ActionsContainer") -> None:
    """Add the choice whether W&B gets a copy of the numbers of a run."""
    group.add_argument(
        "--wandb",
        type=any_case(*WANDB_MODES),
        choices=WANDB_MODES,
        default="off",
        help="copy the numbers of the run to Weights & Biases (default: off; only online uses "
        "the network)",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the seed of all random numbers."""
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")


def given_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, str]:
    """Return the options that the user typed, by the names of their values."""
    unset = object()
    options = {
        action.dest: action.option_strings[-1]
        for action in parser._actions
        # A counted flag starts from its default; only -v and -q are counted.
        if action.option_strings and not isinstance(action, argparse._CountAction)
    }
    # The parser sets a default only where there is no value yet.
    args = parser.parse_args(words, argparse.Namespace(**dict.fromkeys(options, unset)))
    return {dest: flag for dest, flag in options.items() if getattr(args, dest) is not unset}


def check_mode(typed: Mapping[str, str], mode: str, takes: Mapping[str, Iterable[str]]) -> None:
    """Refuse an option that this mode would ignore.

    Parameters
    ----------
    given
        Options that the user typed, by the names of their values.
    takes
        The modes that use an option; an option without an entry belongs to all modes.
    """
    from sts.base.errors import StsError

    for dest, flag in typed.items():
        if mode not in (modes := tuple(takes.get(dest, (mode,)))):
            raise StsError(
                f"{flag} belongs to {' and '.join(modes)}, and {mode} would ignore it: leave it out"
            )


def check_again(args: argparse.Namespace) -> None:
    """Refuse --resume together with --force."""
    from sts.base.errors import StsError

    if getattr(args, "resume", False) and getattr(args, "force", False):
        raise StsError(
            "--resume keeps the results that exist and --force deletes them: give one of the two"
        )


def workspace_of(args: argparse.Namespace) -> "Workspace":
    """Return the workspace that the arguments name, or its demo."""
    from sts.base.workspace import find_workspace

    workspace = find_workspace(args.root)
    return workspace.demo() if args.demo else workspace


def data_of(args: argparse.Namespace) -> Path:
    """Return the folder of the data."""
    data: Path = args.data or workspace_of(args).data
    return data


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select the sweeps of a recording."""
    group = parser.add_argument_group("which sweeps of a recording")
    group.add_argument(
        "--min-step",
        type=above_zero,
        metavar="S",
        help="the shortest step to take; cells with one shorter than 0.9 s are flagged (default: "
        "0.9 for the two sweeps, 0.4 for features)",
    )
    group.add_argument(
        "--max-step",
        type=above_zero,
        metavar="S",
        help="the longest step to take (default: 1.1 for the two sweeps, 2 for features)",
    )
    group.add_argument(
        "--step-tolerance",
        type=not_negative,
        metavar="PA",
        help="largest difference of the second sweep from rheobase + 40 pA (default: 5); features "
        "need no second sweep",
    )
    group.add_argument(
        "--hero",
        action="store_true",
        help="choose the second sweep by Allen's rule: the lowest step 39 to 61 pA above "
        "rheobase, else the closest; features always do",
    )
    group.add_argument(
        "--quality",
        metavar="usual|allen|off|JSON",
        help="the limits of a usable sweep: usual (noise 0.5 mV rms within 1.5 ms, slow noise 5 mV "
        "rms, drift 10 mV, rest -40 mV, 10 %% off its amplitude), allen (noise 0.07 mV, slow noise "
        "0.5 mV, drift 1 mV, else as usual), off, or a file with noise_mv, slow_noise_mv, "
        "drift_mv, rest_mv, amplitude_error (default: usual)",
    )


def refuse_selection(args: argparse.Namespace, why: str) -> None:
    """Refuse these flags if no recording is read."""
    from sts.base.errors import StsError

    for name, flag in SELECTION.items():
        if getattr(args, name):
            raise StsError(f"{flag} belongs to recordings, and {why}: leave it out")


def reading_of(
    args: argparse.Namespace, *, store: bool = True, features: bool = False
) -> "BuildSettings":
    """Return the settings for reading recordings: the results, and the rules for them."""
    from sts.datasets.cell_results import BuildSettings
    from sts.signals.select import USUAL_STEP_S, SelectSettings
    from sts.signals.steps import LONG_STEP_S

    def lengths_s(usual: tuple[float, float]) -> tuple[float, float]:
        low, high = args.min_step, args.max_step
        return (usual[0] if low is None else low, usual[1] if high is None else high)

    shortest_s, longest_s = lengths_s(USUAL_STEP_S if store else LONG_STEP_S)
    tolerance = {} if args.step_tolerance is None else {"step_tolerance_pa": args.step_tolerance}
    select = SelectSettings(
        min_step_s=shortest_s, max_step_s=longest_s, hero=args.hero, **tolerance
    )
    measured_s = lengths_s(LONG_STEP_S)
    return BuildSettings(
        select=select,
        quality=quality_of(args.quality or "usual"),
        store=store,
        features=features,
        feature_steps_s=measured_s if features and measured_s != LONG_STEP_S else None,
    )


def quality_of(name: str) -> "QualitySettings | None":
    """Return the limits with a name, or those in a JSON file."""
    from sts.base.errors import one_of
    from sts.base.settings import load_settings
    from sts.signals.quality import QUALITY, QualitySettings

    if name.lower() in QUALITY:
        return QUALITY[name.lower()]
    path = Path(name)
    if path.suffix == ".json" or path.is_file():
        return load_settings(QualitySettings, path)
    return QUALITY[one_of(name, QUALITY, "quality (a name, or a .json file)")]
