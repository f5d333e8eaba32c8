"""The flags of calcium_gan.py that name a recording, and the settings from them."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sts.base.errors import StsError
from sts.cli import flags

if TYPE_CHECKING:
    from sts.calcium.windows import WindowSettings
    from sts.studies.calcium.source import CalciumSource

# Flag, type, name of its value, help.
FlagRow = tuple[str, Callable[[str], Any], str, str]
DECONVOLUTION: tuple[FlagRow, ...] = (
    ("--smallest", flags.not_negative, "S", "smallest spike (default: 0.55)"),
    ("--deviation", flags.not_negative, "S", "deviation of the noise (default: estimated)"),
    ("--penalty", str, "L", "on the sum of spikes, or auto: from the noise (default: 0)"),
    ("--baseline", str, "B", "subtracted first, or auto: a percentile (default: 0)"),
)


def add_rows(group: "argparse._ActionsContainer", rows: Sequence[FlagRow]) -> None:
    """Add a flag for each row."""
    for flag, kind, metavar, text in rows:
        group.add_argument(flag, type=kind, metavar=metavar, help=text)


def add_recording(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --recording; `default` says what is read without it."""
    text = f".npy, .npz, .h5, .nwb, .mat, .csv or a folder of suite2p ({default})"
    parser.add_argument("--recording", type=Path, metavar="FILE", help=text)


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add how a recording is read and prepared, and how it is deconvolved."""
    add = parser.add_argument
    add("--rate", type=flags.above_zero, metavar="HZ", help="frames a second, if not in the file")
    add("--series", default="", metavar="NAME", help="RoiResponseSeries, array or session to read")
    add("--transpose", action="store_true", help="arrays of the file are (frames, neurons)")
    add("--resample", type=flags.above_zero, metavar="HZ", help="to this frame rate first")
    add("--detrend", action="store_true", help="subtract a slow baseline")
    add("--relative", action="store_true", help="subtract the slow baseline and divide by it: dF/F")
    group = parser.add_argument_group("OASIS")
    add = group.add_argument
    add("--decay", nargs="+", metavar="G", help="g, or g1 and g2, or auto (default: 0.95)")
    add("--order", type=int, choices=(1, 2), default=1, help="of --decay auto (default: 1)")
    add_rows(group, DECONVOLUTION)


def make_source(
    args: argparse.Namespace, path: Path, windows: "WindowSettings | None" = None
) -> "CalciumSource":
    """Return the recording and the settings of its preparation, cutting and deconvolution."""
    from sts.calcium.fluorescence import OasisSettings
    from sts.calcium.recording import Preparation
    from sts.calcium.windows import WindowSettings
    from sts.studies.calcium.source import CalciumSource

    oasis = take_given(args, "order", "smallest")
    if args.decay:
        oasis["decay"] = parse_decay(args)
    for name in ("penalty", "baseline"):
        if (text := getattr(args, name)) is not None:
            oasis[name] = None if text == "auto" else _parse_number(text, name)
    if args.deviation is not None:
        oasis["noise"] = args.deviation
    if args.smallest is None and oasis.get("penalty", 0) != 0:
        # A penalty replaces the smallest spike.
        oasis["smallest"] = 0.0
    steps = Preparation(detrend=args.detrend, relative=args.relative, rate_hz=args.resample)
    return CalciumSource(
        path=str(path),
        rate_hz=args.rate,
        series=args.series,
        transpose=args.transpose,
        preparation=steps,
        windows=replace(windows or WindowSettings(), **take_given(args, "length", "stride")),
        oasis=OasisSettings(**oasis),
    )


def take_given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the arguments that were given, lists as tuples."""
    typed = {name: getattr(args, name, None) for name in names}
    return {n: tuple(v) if isinstance(v, list) else v for n, v in typed.items() if v is not None}


def parse_decay(args: argparse.Namespace) -> tuple[float, ...] | None:
    """Return the decay that was given, None if it is to be estimated."""
    if not args.decay or args.decay == ["auto"]:
        return None
    return tuple(_parse_number(text, "decay") for text in args.decay)


def _parse_number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise StsError(f"--{name} must be numbers or auto, not {text!r}") from error
