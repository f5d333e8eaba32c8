"""The flags of calcium_gan.py, the settings from them, and the printed results."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.errors import StsError, one_of
from sts.base.logs import program
from sts.cli import flags
from sts.cli.calcium_source import (
    FlagRow,
    add_recording,
    add_rows,
    add_source,
    make_source,
    parse_decay,
    take_given,
)
from sts.cli.flags import add_command, data_of
from sts.cli.run import Status, parse_arguments, run_command, say, say_table

logger = logging.getLogger("sts")

if TYPE_CHECKING:
    from sts.cli.flags import Commands
    from sts.studies.calcium.evaluate import PopulationEvaluation
    from sts.studies.calcium.pages import GanEvaluation

_PRECISIONS = ("auto", "float32", "tf32", "bfloat16")
TRAINING_FLAGS: tuple[FlagRow, ...] = (
    ("--length", flags.positive, "FRAMES", "of a window (default: 2048)"),
    ("--stride", flags.positive, "FRAMES", "between windows (default: 2)"),
    ("--steps", flags.positive, "N", "of the generator (default: 20000)"),
    ("--critic-steps", flags.positive, "N", "for each step of the generator (default: 5)"),
    ("--batch", flags.positive, "N", "windows (default: 128)"),
    ("--learning-rate", flags.share, "R", "(default: 1e-4)"),
    ("--check-every", flags.positive, "N", "steps (default: 500)"),
    ("--noise", flags.positive, "N", "dimension of the noise (default: 32)"),
    ("--kernel", flags.positive, "N", "frames (default: 24)"),
    ("--shuffle", flags.natural, "M", "largest phase shuffle (default: 10)"),
)
_MODELS = ("gan", "ldns", "gaussian", "history")
LATENT: tuple[FlagRow, ...] = (
    ("--latents", flags.positive, "N", "behind the population (default: 8)"),
    ("--channels", flags.positive, "N", "of the convolutions (default: 16)"),
    ("--stretches", flags.positive, "N", "of the recording that `generate` can be asked for"),
)
# Destinations of flags that only a GAN has; others that only the latent diffusion model has.
_GAN_ONLY = (
    *("critic_steps", "noise", "kernel", "shuffle", "units", "critic_units", "precision"),
    *("compile", "ending", "upsampling", "frame_noise", "differences", "moments"),
    *("critic_rate", "cooling"),
)
_LATENT_ONLY = ("latents", "channels", "stretches")
# Of models that are trained in steps.
_STEPS_ONLY = ("steps", "batch", "learning_rate", "check_every")
BEYOND: tuple[FlagRow, ...] = (
    ("--moments", flags.not_negative, "W", "weight of means, third moments and lagged covariances"),
    ("--critic-rate", flags.share, "R", "learning rate of the critic"),
    ("--cooling", flags.part, "PART", "of the steps, at the end, over which rates fall to 0"),
)


# Flags by which `dg` draws rates and covariances; by what replaces these, the flags without use.
_DRAWN = ("neurons", "mean_rate", "correlation")
_UNUSED = {"lorenz": _DRAWN[1:], "statistics": _DRAWN, "measure": _DRAWN}


def main(argv: Sequence[str] | None = None) -> int:
    """Run calcium_gan.py with these arguments and return its exit status."""
    parser = make_calcium_parser()
    words = sys.argv[1:] if argv is None else argv
    if words and not words[0].startswith("-"):
        try:
            one_of(
                words[0], [add.__name__.removeprefix("_add_") for add in ADD_COMMANDS], "command"
            )
        except StsError as error:
            parser.error(str(error))
    args = parse_arguments(parser, words)
    if args.command is not _demo and words[0].startswith("-"):
        # The command has the same flags: its defaults would silently replace these.
        parser.error(f"{words[0]} is before the command: flags must follow it")
    return run_command(args, _start)


def _start(args: argparse.Namespace) -> int:
    # pynwb gives long warnings about names, which do not help a user.
    logging.getLogger("hdmf").setLevel(logging.ERROR)
    return int(args.command(args))


def make_calcium_parser() -> argparse.ArgumentParser:
    """Return the parser of calcium_gan.py."""
    parser = argparse.ArgumentParser(
        prog=program("calcium_gan.py"),
        description="Simulate calcium traces, train a generator and compare both.",
        epilog="`%(prog)s --demo` runs all commands on sixteen simulated neurons.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    flags.add_place(parser)
    flags.add_device(parser)
    flags.add_seed(parser)
    parser.set_defaults(command=_demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in ADD_COMMANDS:
        add(commands)
    return parser


def _add_name(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    text = f"of the data and its generator (default: {default or 'ground-truth'})"
    parser.add_argument("--name", type=flags.plain_name, default=default, metavar="NAME", help=text)


def _add_dg(commands: "Commands") -> None:
    text = (
        "Simulate a population with known rates and covariances. Dichotomised Gaussian spike "
        "trains, calcium that follows them, and noise; written as HDF5."
    )
    parser = add_command(commands, "dg", _dg, text)
    _add_name(parser, "ground-truth")
    add = parser.add_argument
    for flag, kind, unit, default, words in (
        ("--neurons", flags.whole(2, 10_000), "N", 100, ""),
        ("--frames", flags.whole(1, 10**9), "N", 200_000, ""),
        ("--rate", flags.above_zero, "HZ", 24.0, "frames a second "),
        ("--mean-rate", flags.above_zero, "HZ", 2.0, "of spikes "),
        ("--correlation", flags.part, "PART", 0.5, "of the latent variance that neurons share "),
        ("--memory", flags.not_negative, "S", 0.0, "correlation in time "),
        ("--noise", flags.not_negative, "S", 0.3, "deviation, in spikes "),
    ):
        about = f"{words}(default: {default:g})"
        add(flag, type=kind, default=default, metavar=unit, help=about)
    # None says that a flag was not given.
    parser.set_defaults(**dict.fromkeys(_DRAWN))
    add("--decay", nargs="+", metavar="G", help="g, or g1 and g2, of a frame (default: 0.95)")
    text = "rates_hz (n) and covariances (n x n) of frames with a spike or none, or correlations"
    add("--statistics", type=Path, metavar="JSON", help=text)
    add("--measure", type=Path, metavar="FILE", help="use the statistics of this recording")
    text = "spike counts that follow a Lorenz system, with rates and covariances of its own"
    add("--lorenz", action="store_true", help=text)
    add("--clip", action="store_true", help="move impossible covariances to their bound")
    add("--out", type=Path, metavar="FILE", help="(default: ROOT/data/calcium/NAME.h5)")
    flags.add_seed(parser)


def _dg(args: argparse.Namespace) -> int:
    from sts.calcium.fluorescence import PUBLISHED_DECAY, CalciumModel
    from sts.studies.calcium import ground_truth

    for replaces, names in _UNUSED.items():
        if getattr(args, replaces):
            _refuse_flags(args, names, f"--{replaces}")
    drawn = {"neurons": args.neurons, "mean_hz": args.mean_rate, "correlation": args.correlation}
    job = ground_truth.GroundTruthJob(
        name=args.name,
        frames=args.frames,
        rate_hz=args.rate,
        memory_s=args.memory,
        calcium=CalciumModel(decay=parse_decay(args) or PUBLISHED_DECAY, noise=args.noise),
        given=str(args.statistics or ""),
        measured=str(args.measure or ""),
        clip=args.clip,
        lorenz=args.lorenz,
        seed=args.seed,
        **{name: value for name, value in drawn.items() if value is not None},
    )
    if args.demo:
        job = ground_truth.make_demo_truth(args.seed)
    out = args.out or data_of(args) / ground_truth.SIMULATED_FOLDER / f"{job.name}.h5"
    truth = ground_truth.make_ground_truth(flags.workspace_of(args), job, out=out)
    rows = [(n, f"{v:.4g}" if isinstance(v, float) else str(v)) for n, v in truth.found.items()]
    say_table(("asked and found", "value"), rows)
    say(f"data    {truth.data}")
    return Status.DONE


def _add_train(commands: "Commands") -> None:
    text = (
        "Train a generator on windows of a recording, by default a GAN of traces. Training, "
        "validation and test windows come from disjoint stretches of time; interrupted, the same "
        "call resumes."
    )
    parser = add_command(commands, "train", _train, text)
    _add_name(parser)
    add = parser.add_argument
    text = "gan: traces; others: spike counts, by a latent diffusion model, a dichotomised Gaussian"
    choose = partial(add, type=str.lower)
    choose("--model", choices=_MODELS, default="gan", help=f"{text} or a model of spike history")
    add_rows(parser, TRAINING_FLAGS)
    add("--units", type=flags.positive, nargs="+", metavar="N", help="of the generator's layers")
    add("--critic-units", type=flags.positive, nargs="+", metavar="N", help="of the critic's")
    choose = partial(add, type=str.lower)
    choose("--precision", choices=_PRECISIONS, help="of products on a GPU (default: tf32)")
    add("--compile", action="store_true", default=None, help="compile the networks, on a GPU")
    group = parser.add_argument_group("beyond the published model (default: none)")
    add = group.add_argument
    choose = partial(add, type=str.lower)
    choose("--ending", choices=("sigmoid", "spikes"), help="spikes: end in spikes that decay")
    choose("--upsampling", choices=("transposed", "nearest"), help="nearest: without ripples")
    add("--frame-noise", action="store_true", default=None, help="fresh noise in every frame")
    text = "the critic also gets the differences between frames"
    add("--differences", action="store_true", default=None, help=text)
    add_rows(group, BEYOND)
    add_rows(parser.add_argument_group("--model ldns"), LATENT)
    add_recording(parser, "ROOT/data/calcium/NAME.h5")
    add_source(parser)
    flags.add_wandb(parser)
    flags.add_device(parser)
    flags.add_seed(parser)


def _train(args: argparse.Namespace) -> int:
    from sts.calcium.train import GanTrainSettings
    from sts.studies.calcium.ground_truth import SIMULATED_FOLDER, ensure_demo_truth
    from sts.studies.calcium.train import GanJob, Sizes, make_demo_job, train_gan

    workspace = flags.workspace_of(args)
    if args.demo:
        job = make_demo_job(ensure_demo_truth(workspace, args.seed), args.seed)
    else:
        stem = args.recording.stem if args.recording else "ground-truth"
        # Characters that a file may have in its name and a generator may not are replaced.
        name = args.name or re.sub(r"^\W+|[^\w.+-]", "_", stem) or "recording"
        path = args.recording or data_of(args) / SIMULATED_FOLDER / f"{name}.h5"
        if args.recording is None and not path.is_file():
            raise StsError(
                f"nothing to train on at {path}: simulate it first with `calcium_gan.py dg`, or "
                "name a recording of yours with --recording FILE --rate HZ"
            )
        model = f"--model {args.model}"
        _refuse_flags(args, () if args.model == "gan" else _GAN_ONLY, model)
        _refuse_flags(args, () if args.model == "ldns" else _LATENT_ONLY, model)
        _refuse_flags(args, () if args.model in ("gan", "ldns") else _STEPS_ONLY, model)
        if args.model != "gan":
            return _train_population(args, name, path)
        sizes = take_given(args, "noise", "kernel", "units", "critic_units", "shuffle")
        sizes |= take_given(args, "ending", "frame_noise", "upsampling", "differences")
        settings = take_given(args, "steps", "critic_steps", "batch", "learning_rate", "seed")
        settings |= take_given(args, "check_every", "moments", "critic_rate", "cooling")
        settings |= take_given(args, "precision", "compile")
        job = GanJob(
            name=name,
            source=make_source(args, path),
            sizes=Sizes(**sizes),
            settings=GanTrainSettings(**settings),
        )
    trained = train_gan(workspace, job, device=args.device, wandb=args.wandb)
    say(f"kept    step {trained.card.best_step}, score {trained.card.score:.3f}")
    say(f"model   {trained.model}")
    say(f"report  {trained.folder / 'report.html'}")
    return Status.DONE


def _refuse_flags(args: argparse.Namespace, names: Sequence[str], choice: str) -> None:
    """Refuse flags that would be ignored by what was chosen with another flag."""
    if given := sorted(take_given(args, *names)):
        raise StsError(f"--{given[0].replace('_', '-')} is no setting of {choice}")


def _train_population(args: argparse.Namespace, name: str, path: Path) -> int:
    from sts.calcium.latents import LatentSettings
    from sts.studies.calcium.population import POPULATION_WINDOWS, PopulationJob, train_population

    if args.wandb != "off":
        raise StsError(f"--wandb is no setting of --model {args.model}")
    settings = take_given(args, "latents", "channels", "steps", "batch", "learning_rate")
    settings |= take_given(args, "check_every", "stretches", "seed")
    job = PopulationJob(
        name=name,
        model=args.model,
        source=make_source(args, path, POPULATION_WINDOWS),
        settings=LatentSettings(**settings),
    )
    trained = train_population(flags.workspace_of(args), job, device=args.device)
    for part in ("autoencoder", "diffusion"):
        losses = [check.loss for check in trained.checks if check.part == part]
        if losses:
            say(f"{part}  error {losses[0]:.4f} at first, {min(losses):.4f} at best")
    say(f"model   {trained.model}")
    return Status.DONE


def _add_generate(commands: "Commands") -> None:
    parser = add_command(commands, "generate", _generate, "Write windows in physical units.")
    _add_name(parser)
    add = parser.add_argument
    add("--windows", type=flags.positive, default=100, metavar="N", help="(default: 100)")
    text = "of a window, of models of spike counts (default: as trained)"
    add("--length", type=flags.positive, metavar="FRAMES", help=text)
    text = "of the recording, such as a running direction, from 1 (default: all)"
    add("--stretch", type=flags.positive, metavar="N", help=text)
    kinds = ["npz", "nwb"]
    add("--kind", nargs="+", type=str.lower, choices=kinds, default=kinds, help="(default: both)")
    add("--out", type=Path, metavar="DIR", help="(default: ROOT/output/...)")
    flags.add_seed(parser)


def _generate(args: argparse.Namespace) -> int:
    from sts.studies.calcium.generate import GenerateJob, generate_windows

    job = GenerateJob(
        name=_find_name(args),
        windows=args.windows,
        length=args.length,
        stretch=args.stretch,
        seed=args.seed,
        kinds=tuple(args.kind),
    )
    for path in generate_windows(flags.workspace_of(args), job, out=args.out):
        say(f"written {path}")
    return Status.DONE


def _add_evaluate(commands: "Commands") -> None:
    text = "Compare generated traces with real ones of the test stretch, a floor and two controls."
    parser = add_command(commands, "evaluate", _evaluate, text)
    _add_name(parser)
    add_recording(parser, "the one it was trained on")
    parser.add_argument("--seed", type=flags.seed, default=1, metavar="N", help="(default: 1)")


def _evaluate(args: argparse.Namespace) -> int:
    from sts.studies.calcium.evaluate import EvaluateJob, evaluate_gan

    job = EvaluateJob(name=_find_name(args), recording=str(args.recording or ""), seed=args.seed)
    _say_evaluated(evaluate_gan(flags.workspace_of(args), job))
    return Status.DONE


def _find_name(args: argparse.Namespace) -> str:
    """Return the name of a generator; if there are others, it must be one of them."""
    from sts.calcium.checkpoint import GENERATOR_FOLDER

    name = str(args.name or ("demo" if args.demo else "ground-truth"))
    folder = flags.workspace_of(args).models / GENERATOR_FOLDER
    known = [each.name for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    return one_of(name, known, f"generator in {folder}:") if known else name


def _say_evaluated(evaluation: "GanEvaluation | PopulationEvaluation") -> None:
    from sts.studies.calcium.evaluate import PopulationEvaluation

    if isinstance(evaluation, PopulationEvaluation):
        _say_judged(evaluation)
        return
    header = ("KL(real || these), nats", "rates", "correlations", "van Rossum", "intervals")
    values = {name: each.divergences.values() for name, each in evaluation.likeness.items()}
    say_table(header, [(name, *(f"{v:.3f}" for v in some)) for name, some in values.items()])
    say(f"report  {evaluation.folder / 'report.html'}")


def _say_judged(evaluation: "PopulationEvaluation") -> None:
    from sts.calcium.compare import POPULATION_QUANTITIES

    rows = evaluation.judgement.differences
    found = [
        (text, *(f"{evaluation.judgement.mean(row, name):.4f}" for row in rows))
        for name, text in POPULATION_QUANTITIES.items()
    ]
    say_table(("difference from the test stretch", *rows), found)
    say(evaluation.sentence)
    say(f"report  {evaluation.folder / 'report.html'}")


def _add_deconvolve(commands: "Commands") -> None:
    text = (
        "Find the spikes of a recording with OASIS. Writes calcium and spikes as .npz and, if the "
        "true spikes are known, prints their correlation with the found ones at 25 Hz."
    )
    parser = add_command(commands, "deconvolve", _deconvolve, text)
    add_recording(parser, "needed")
    add_source(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: ROOT/output/...)")


def _deconvolve(args: argparse.Namespace) -> int:
    from sts.studies.calcium.source import deconvolve_recording

    if args.recording is None:
        raise StsError("no recording given: name a file or folder with --recording")
    source = make_source(args, args.recording)
    deconvolved = deconvolve_recording(flags.workspace_of(args), source, out=args.out)
    say_table(("neuron", "spikes a second", "correlation with truth"), deconvolved.rows)
    if deconvolved.median is not None:
        say(f"median  {deconvolved.median:.3f}")
    say(f"written {deconvolved.path}")
    return Status.DONE


def _demo(args: argparse.Namespace) -> int:
    from sts.studies.calcium.evaluate import EvaluateJob, evaluate_gan
    from sts.studies.calcium.generate import GenerateJob, generate_windows
    from sts.studies.calcium.ground_truth import DEMO, ensure_demo_truth
    from sts.studies.calcium.train import make_demo_job, train_gan

    if not args.demo:
        raise StsError("no command: choose dg, train, generate, evaluate or deconvolve, or --demo")
    workspace = flags.workspace_of(args)
    job = make_demo_job(ensure_demo_truth(workspace, args.seed), args.seed)
    trained = train_gan(workspace, job, device=args.device)
    say(f"model   {trained.model}")
    for path in generate_windows(workspace, GenerateJob(name=DEMO, windows=20)):
        say(f"written {path}")
    _say_evaluated(evaluate_gan(workspace, EvaluateJob(name=DEMO)))
    return Status.DONE


ADD_COMMANDS = (_add_dg, _add_train, _add_generate, _add_evaluate, _add_deconvolve)
