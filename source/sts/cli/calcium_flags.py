"""The flags of calcium_gan.py."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command

if TYPE_CHECKING:
    from sts.cli.flags import Commands

Command = Callable[[argparse.Namespace], int]


def add_dg(commands: "Commands", command: Command) -> None:
    """Add `dg`."""
    parser = add_command(
        commands,
        "dg",
        command,
        "Make up a population with known rates and covariances. Dichotomised Gaussian spike "
        "trains, calcium that follows them, and noise; written as HDF5.",
    )
    _add_name(parser, "ground-truth")
    add = parser.add_argument
    add("--neurons", type=flags.whole(2, 10_000), default=100, metavar="N", help="(default: 100)")
    add(
        "--frames",
        type=flags.whole(1, 10**9),
        default=200_000,
        metavar="N",
        help="(default: 200000)",
    )
    add(
        "--rate",
        type=flags.above_zero,
        default=24.0,
        metavar="HZ",
        help="frames a second (default: 24)",
    )
    add(
        "--mean-rate",
        type=flags.above_zero,
        default=2.0,
        metavar="HZ",
        help="of spikes (default: 2)",
    )
    add(
        "--correlation",
        type=flags.part,
        default=0.5,
        metavar="PART",
        help="of the latent variance that neurons share (default: 0.5)",
    )
    add(
        "--memory",
        type=flags.not_negative,
        default=0.0,
        metavar="S",
        help="correlation in time (default: 0)",
    )
    _add_decay(parser, "0.95")
    add("--noise", type=flags.not_negative, default=0.3, help="deviation, in spikes (default: 0.3)")
    add(
        "--statistics",
        type=Path,
        metavar="JSON",
        help="instead of drawn ones: an object of rates_hz (n numbers) and covariances of frames "
        "with a spike or none (n x n), or correlations",
    )
    add("--measure", type=Path, metavar="FILE", help="take those of this recording instead")
    add("--clip", action="store_true", help="move covariances no trains can have to their bound")
    add("--out", type=Path, metavar="FILE", help="(default: ROOT/data/calcium/NAME.h5)")
    flags.add_seed(parser)


def add_train(commands: "Commands", command: Command) -> None:
    """Add `train`."""
    parser = add_command(
        commands,
        "train",
        command,
        "Train a generator on windows of a recording. Training, validation and test windows come "
        "from disjoint stretches of time; interrupted, the same call goes on.",
    )
    _add_name(parser)
    _add_recording(parser, "ROOT/data/calcium/NAME.h5")
    _add_preparation(parser)
    add = parser.add_argument
    add("--length", type=flags.positive, metavar="FRAMES", help="of a window (default: 2048)")
    add("--stride", type=flags.positive, metavar="FRAMES", help="between windows (default: 2)")
    add("--steps", type=flags.positive, metavar="N", help="of the generator (default: 20000)")
    add("--critic-steps", type=flags.positive, metavar="N", help="for each of them (default: 5)")
    add("--batch", type=flags.positive, metavar="N", help="(default: 128)")
    add("--learning-rate", type=flags.share, metavar="R", help="(default: 1e-4)")
    add("--check-every", type=flags.positive, metavar="N", help="steps (default: 500)")
    add("--noise", type=flags.positive, metavar="N", help="dimension of the noise (default: 32)")
    add("--kernel", type=flags.positive, metavar="N", help="(default: 24)")
    add("--units", type=flags.positive, nargs="+", metavar="N", help="of the generator's layers")
    add("--critic-units", type=flags.positive, nargs="+", metavar="N", help="of the critic's")
    add("--shuffle", type=flags.natural, metavar="M", help="of phase shuffle (default: 10)")
    _add_options(parser)
    add(
        "--precision",
        type=str.lower,
        choices=("auto", "float32", "tf32", "bfloat16"),
        help="what a GPU multiplies in (default: tf32)",
    )
    add("--compile", action="store_true", default=None, help="compile the networks, on a GPU")
    flags.add_wandb(parser)
    _add_oasis(parser)
    flags.add_device(parser)
    flags.add_seed(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("beyond the published model (default: none)").add_argument
    add(
        "--ending",
        type=str.lower,
        choices=("sigmoid", "spikes"),
        help="spikes: the generator ends in spikes, their decay and noise, begun from the traces",
    )
    add("--frame-noise", action="store_true", default=None, help="fresh noise in every frame")
    add(
        "--upsampling",
        type=str.lower,
        choices=("transposed", "nearest"),
        help="nearest: repeat frames and convolve, which leaves no ripples",
    )
    add(
        "--differences",
        action="store_true",
        default=None,
        help="the critic sees what changes from frame to frame as well",
    )
    add(
        "--moments",
        type=flags.not_negative,
        metavar="W",
        help="weight of means, third moments and lagged covariances in the generator's loss",
    )
    add("--critic-rate", type=flags.share, metavar="R", help="learning rate of the critic alone")
    add("--cooling", type=flags.part, metavar="PART", help="of the steps, in which rates fall to 0")


def add_generate(commands: "Commands", command: Command) -> None:
    """Add `generate`."""
    parser = add_command(
        commands, "generate", command, "Write generated windows in physical units."
    )
    _add_name(parser)
    parser.add_argument(
        "--windows", type=flags.positive, default=100, metavar="N", help="(default: 100)"
    )
    parser.add_argument(
        "--kind",
        nargs="+",
        type=str.lower,
        choices=("npz", "nwb"),
        default=["npz", "nwb"],
        help="(default: both)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default: ROOT/output/...)")
    flags.add_seed(parser)


def add_evaluate(commands: "Commands", command: Command) -> None:
    """Add `evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        command,
        "Judge a generator by ground truth and spike statistics. Against the test stretch, which "
        "neither trained nor chose it, beside a floor and two controls.",
    )
    _add_name(parser)
    _add_recording(parser, "the one it was trained on")
    parser.add_argument("--seed", type=flags.seed, default=1, metavar="N", help="(default: 1)")


def add_deconvolve(commands: "Commands", command: Command) -> None:
    """Add `deconvolve`."""
    parser = add_command(
        commands,
        "deconvolve",
        command,
        "Find the spikes of a recording with OASIS. Writes calcium and spikes as .npz and, where "
        "the truth is known, says how well they correlate at 25 Hz.",
    )
    _add_recording(parser, "needed")
    _add_preparation(parser)
    _add_oasis(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: ROOT/output/...)")


def _add_name(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--name",
        type=flags.plain_name,
        default=default,
        metavar="NAME",
        help=f"of the data and its generator (default: {default or 'ground-truth'})",
    )


def _add_recording(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help=f".npy, .npz, .h5, .nwb, .mat, .csv or a folder of suite2p ({default})",
    )


def _add_preparation(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--rate",
        type=flags.above_zero,
        metavar="HZ",
        help="frames a second of a file that names none",
    )
    add("--series", default="", metavar="NAME", help="RoiResponseSeries or array of a file of many")
    add("--transpose", action="store_true", help="arrays of the file are (frames, neurons)")
    add("--resample", type=flags.above_zero, metavar="HZ", help="to this frame rate first")
    add("--detrend", action="store_true", help="take off a slow baseline")
    add("--relative", action="store_true", help="divide by the slow baseline: dF/F")


def _add_decay(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--decay",
        nargs="+",
        metavar="G",
        help=f"g, or g1 and g2, from frame to frame (default: {default})",
    )


def _add_oasis(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("OASIS").add_argument
    add("--decay", nargs="+", metavar="G", help="g, or g1 and g2, or auto (default: 0.95)")
    add("--order", type=int, choices=(1, 2), default=1, help="of --decay auto (default: 1)")
    add("--smallest", type=flags.not_negative, metavar="S", help="smallest spike (default: 0.55)")
    add(
        "--deviation",
        type=flags.not_negative,
        metavar="S",
        help="of the noise (default: estimated)",
    )
    add("--penalty", metavar="L", help="on the sum of spikes, or auto: by the noise (default: 0)")
    add("--baseline", metavar="B", help="taken off first, or auto (default: 0)")
