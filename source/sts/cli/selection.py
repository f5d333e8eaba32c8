"""The flags that say which sweeps of a recording count, the same wherever recordings are read."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags

if TYPE_CHECKING:
    from sts.datasets.outcomes import BuildSettings
    from sts.signals.quality import QualitySettings

# By the names of their values; None where nothing was typed.
SELECTION = {
    "min_step": "--min-step",
    "max_step": "--max-step",
    "step_tolerance": "--step-tolerance",
    "hero": "--hero",
    "quality": "--quality",
}


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add what says which sweeps of a recording are taken."""
    group = parser.add_argument_group("which sweeps of a recording")
    group.add_argument(
        "--min-step",
        type=flags.above_zero,
        metavar="S",
        help="the shortest step to take; what is shorter than 0.9 s is flagged (default: 0.9 for "
        "the two sweeps, 0.4 for features)",
    )
    group.add_argument(
        "--max-step",
        type=flags.above_zero,
        metavar="S",
        help="the longest step to take (default: 1.1 for the two sweeps, 2 for features)",
    )
    group.add_argument(
        "--step-tolerance",
        type=flags.not_negative,
        metavar="PA",
        help="how far from rheobase + 40 pA the second sweep may be (default: 5); features need "
        "no second sweep",
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
        help="what a sweep may be at worst: usual (noise 0.5 mV rms within 1.5 ms, slow noise 5 mV "
        "rms, drift 10 mV, rest -40 mV, 10 %% off its amplitude), allen (noise 0.07 mV, slow noise "
        "0.5 mV, drift 1 mV, else as usual), off, or a file with noise_mv, slow_noise_mv, "
        "drift_mv, rest_mv, amplitude_error (default: usual)",
    )


def refuse_selection(args: argparse.Namespace, why: str) -> None:
    """Refuse these flags where no recording is read."""
    from sts.base.errors import StsError

    for name, flag in SELECTION.items():
        if getattr(args, name):
            raise StsError(f"{flag} belongs to recordings, and {why}: leave it out")


def reading_of(
    args: argparse.Namespace, *, store: bool = True, features: bool = False
) -> "BuildSettings":
    """Return what is made of every recording, by which rules."""
    from sts.datasets.outcomes import BuildSettings
    from sts.signals.select import USUAL_STEP_S, SelectSettings
    from sts.signals.steps import LONG_S

    def lengths_s(usual: tuple[float, float]) -> tuple[float, float]:
        low, high = args.min_step, args.max_step
        return (usual[0] if low is None else low, usual[1] if high is None else high)

    shortest_s, longest_s = lengths_s(USUAL_STEP_S if store else LONG_S)
    tolerance = {} if args.step_tolerance is None else {"step_tolerance_pa": args.step_tolerance}
    select = SelectSettings(
        min_step_s=shortest_s, max_step_s=longest_s, hero=args.hero, **tolerance
    )
    measured_s = lengths_s(LONG_S)
    return BuildSettings(
        select=select,
        quality=quality_of(args.quality or "usual"),
        store=store,
        features=features,
        feature_steps_s=measured_s if features and measured_s != LONG_S else None,
    )


def quality_of(name: str) -> "QualitySettings | None":
    """Return the bounds of a name, or those in a file."""
    from sts.base.errors import one_of
    from sts.base.settings import load_settings
    from sts.signals.quality import QUALITY, QualitySettings

    if name.lower() in QUALITY:
        return QUALITY[name.lower()]
    path = Path(name)
    if path.suffix == ".json" or path.is_file():
        return load_settings(QualitySettings, path)
    return QUALITY[one_of(name, QUALITY, "quality (a name, or a .json file)")]
