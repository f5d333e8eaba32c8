"""What the arguments of calcium_gan.py say in terms of settings."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sts.studies.calcium.source import Source


def safe_name(path: Path) -> str:
    """Return a name for a recording's generator."""
    return re.sub(r"^\W+|[^\w.+-]", "_", path.stem) or "recording"


def name_of(args: argparse.Namespace) -> str:
    """Return the name of the data and its generator."""
    return str(args.name or ("demo" if args.demo else "ground-truth"))


def source_of(args: argparse.Namespace, path: Path) -> "Source":
    """Return the recording and what is done to it."""
    from sts.calcium.deconvolve import OasisSettings
    from sts.calcium.preparation import Preparation
    from sts.calcium.windows import WindowSettings
    from sts.studies.calcium.source import Source

    oasis: dict[str, Any] = {"order": args.order}
    if args.decay:
        oasis["decay"] = decay_of(args)
    for name in ("penalty", "baseline"):
        if (text := getattr(args, name)) is not None:
            oasis[name] = None if text == "auto" else _number(text, name)
    if args.deviation is not None:
        oasis["noise"] = args.deviation
    if args.smallest is not None:
        oasis["smallest"] = args.smallest
    elif oasis.get("penalty", 0) != 0:
        # A penalty takes the place of the smallest spike.
        oasis["smallest"] = 0.0
    return Source(
        path=str(path),
        rate_hz=args.rate,
        series=args.series,
        transpose=args.transpose,
        preparation=Preparation(
            detrend=args.detrend, relative=args.relative, rate_hz=args.resample
        ),
        windows=WindowSettings(**given_of(args, "length", "stride")),
        oasis=OasisSettings(**oasis),
    )


def given_of(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the arguments that were given, lists as tuples."""
    values = {name: getattr(args, name, None) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def decay_of(args: argparse.Namespace) -> tuple[float, ...] | None:
    """Return the decay that was given, None for one to be estimated."""
    if not args.decay or args.decay == ["auto"]:
        return None
    return tuple(_number(text, "decay") for text in args.decay)


def _number(text: str, name: str) -> float:
    from sts.base.errors import StsError

    try:
        return float(text)
    except ValueError as error:
        raise StsError(f"--{name} must be numbers or auto, not {text!r}") from error
