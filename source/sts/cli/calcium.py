"""The commands of calcium_gan.py: settings from arguments, and what is printed."""

import argparse
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sts import __version__
from sts.base.logs import program
from sts.cli import flags
from sts.cli.calcium_flags import add_deconvolve, add_dg, add_evaluate, add_generate, add_train
from sts.cli.flags import data_of
from sts.cli.run import Status, parse_arguments, run_command, say, say_table

logger = logging.getLogger("sts")

if TYPE_CHECKING:
    from sts.studies.calcium.pages import GanEvaluation
    from sts.studies.calcium.source import CalciumSource


def main(argv: Sequence[str] | None = None) -> int:
    """Run calcium_gan.py with these arguments and return its exit status."""
    parser = make_calcium_parser()
    words = sys.argv[1:] if argv is None else argv
    if words and not words[0].startswith("-") and (hint := _hint(words[0])):
        parser.error(hint)
    args = parse_arguments(parser, words)
    if args.command is not _demo and words[0].startswith("-"):
        # The command has the same flags: its defaults would silently take their place.
        parser.error(f"{words[0]} stands before the command: flags go behind it")
    return run_command(args, _start)


def _hint(word: str) -> str:
    """Return what is said about a command there is not, "" for one there is."""
    from difflib import get_close_matches

    names = [command.__name__.strip("_") for _, command in COMMANDS]
    if word in names:
        return ""
    near = get_close_matches(word, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown command {word!r}: {hint}choose from {', '.join(names)}"


def _start(args: argparse.Namespace) -> int:
    # pynwb warns of names at length, which does not help a user.
    logging.getLogger("hdmf").setLevel(logging.ERROR)
    command: Callable[[argparse.Namespace], int] = args.command
    return command(args)


def make_calcium_parser() -> argparse.ArgumentParser:
    """Return the parser of calcium_gan.py."""
    parser = argparse.ArgumentParser(
        prog=program("calcium_gan.py"),
        description="Calcium traces of populations: ground truth, a generator of them, and how "
        "like the real ones they are.",
        epilog="`%(prog)s --demo` runs it all on sixteen made-up neurons.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    flags.add_place(parser)
    flags.add_device(parser)
    flags.add_seed(parser)
    parser.set_defaults(command=_demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add, command in COMMANDS:
        add(commands, command)
    return parser


def _dg(args: argparse.Namespace) -> int:
    from sts.calcium.fluorescence import CalciumModel
    from sts.studies.calcium.demo import make_demo_truth
    from sts.studies.calcium.ground_truth import FOLDER, GroundTruthJob, make_ground_truth

    job = GroundTruthJob(
        name=args.name,
        neurons=args.neurons,
        frames=args.frames,
        rate_hz=args.rate,
        mean_hz=args.mean_rate,
        correlation=args.correlation,
        memory_s=args.memory,
        calcium=CalciumModel(decay=parse_decay(args) or (0.95,), noise=args.noise),
        given=str(args.statistics or ""),
        measured=str(args.measure or ""),
        clip=args.clip,
        seed=args.seed,
    )
    if args.demo:
        job = make_demo_truth(args.seed)
    out = args.out or data_of(args) / FOLDER / f"{job.name}.h5"
    if out.exists() and not args.demo:
        logger.warning("%s is there already: it is written anew", out)
    made = make_ground_truth(flags.workspace_of(args), job, out=out)
    say_table(("asked and found", "value"), [(n, _short(v)) for n, v in made.found.items()])
    say(f"data    {made.data}")
    return Status.DONE


def _train(args: argparse.Namespace) -> int:
    from sts.studies.calcium.demo import ensure_demo_truth, make_demo_job
    from sts.studies.calcium.train import GanJob, Sizes, train_gan

    workspace = flags.workspace_of(args)
    if args.demo:
        job = make_demo_job(ensure_demo_truth(workspace, args.seed), args.seed)
    else:
        from sts.base.errors import StsError
        from sts.calcium.trainer import GanTrainSettings

        name = args.name or (_safe_name(args.recording) if args.recording else "ground-truth")
        path = args.recording or data_of(args) / "calcium" / f"{name}.h5"
        if args.recording is None and not path.is_file():
            raise StsError(
                f"nothing to train on at {path}: make it up first with `calcium_gan.py dg`, or "
                "name a recording of yours with --recording FILE --rate HZ"
            )
        sizes = _take_given(args, "noise", "kernel", "units", "critic_units", "shuffle")
        sizes |= _take_given(args, "ending", "frame_noise", "upsampling", "differences")
        settings = _take_given(
            args, "steps", "critic_steps", "batch", "learning_rate", "check_every"
        )
        settings |= _take_given(args, "moments", "critic_rate", "cooling")
        settings |= _take_given(args, "precision", "compile", "seed")
        job = GanJob(
            name=name,
            source=make_source(args, path),
            sizes=Sizes(**sizes),
            settings=GanTrainSettings(**settings),
        )
    trained = train_gan(workspace, job, device=args.device, wandb=args.wandb)
    say(f"kept    step {trained.card.best_step}, unlikeness {trained.card.score:.3f}")
    say(f"model   {trained.model}")
    say(f"report  {trained.folder / 'report.html'}")
    return Status.DONE


def _generate(args: argparse.Namespace) -> int:
    from sts.studies.calcium.generate import GenerateJob, generate_windows

    job = GenerateJob(
        name=_choose_name(args), windows=args.windows, seed=args.seed, kinds=tuple(args.kind)
    )
    _check_known(args, job.name)
    for path in generate_windows(flags.workspace_of(args), job, out=args.out):
        say(f"written {path}")
    return Status.DONE


def _evaluate(args: argparse.Namespace) -> int:
    from sts.studies.calcium.evaluate import EvaluateJob, evaluate_gan

    job = EvaluateJob(name=_choose_name(args), recording=str(args.recording or ""), seed=args.seed)
    _check_known(args, job.name)
    _say_evaluated(evaluate_gan(flags.workspace_of(args), job))
    return Status.DONE


def _check_known(args: argparse.Namespace, name: str) -> None:
    """Refuse the name of a generator there is not, and name the nearest."""
    from difflib import get_close_matches

    from sts.base.errors import StsError
    from sts.calcium.checkpoint import gan_folder

    folder = gan_folder(flags.workspace_of(args).models, name)
    there = folder.parent.iterdir() if folder.parent.is_dir() else ()
    known = sorted(each.name for each in there if each.is_dir())
    if known and name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise StsError(f"no generator at {folder}: {hint}there are {', '.join(known)}")


def _deconvolve(args: argparse.Namespace) -> int:
    from sts.base.errors import StsError
    from sts.studies.calcium.spikes import deconvolve_recording

    if args.recording is None:
        raise StsError("no recording given: name a file or folder with --recording")
    found = deconvolve_recording(
        flags.workspace_of(args), make_source(args, args.recording), out=args.out
    )
    say_table(("neuron", "spikes a second", "correlation with truth"), found.rows)
    if found.median is not None:
        say(f"median  {found.median:.3f}")
    say(f"written {found.path}")
    return Status.DONE


def _demo(args: argparse.Namespace) -> int:
    from sts.base.errors import StsError
    from sts.studies.calcium.demo import NAME, ensure_demo_truth, make_demo_job
    from sts.studies.calcium.evaluate import EvaluateJob, evaluate_gan
    from sts.studies.calcium.generate import GenerateJob, generate_windows
    from sts.studies.calcium.train import train_gan

    if not args.demo:
        raise StsError("no command: choose dg, train, generate, evaluate or deconvolve, or --demo")
    workspace = flags.workspace_of(args)
    job = make_demo_job(ensure_demo_truth(workspace, args.seed), args.seed)
    trained = train_gan(workspace, job, device=args.device)
    say(f"model   {trained.model}")
    for path in generate_windows(workspace, GenerateJob(name=NAME, windows=20)):
        say(f"written {path}")
    _say_evaluated(evaluate_gan(workspace, EvaluateJob(name=NAME)))
    return Status.DONE


def _say_evaluated(found: "GanEvaluation") -> None:
    rows = [
        (name, *(f"{value:.3f}" for value in each.divergences.values()))
        for name, each in found.likeness.items()
    ]
    header = ("KL(real || these), nats", "rates", "correlations", "van Rossum", "intervals")
    say_table(header, rows)
    say(f"report  {found.folder / 'report.html'}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _safe_name(path: Path) -> str:
    """Return a name for a recording's generator."""
    return re.sub(r"^\W+|[^\w.+-]", "_", path.stem) or "recording"


def _choose_name(args: argparse.Namespace) -> str:
    """Return the name of the data and its generator."""
    return str(args.name or ("demo" if args.demo else "ground-truth"))


def make_source(args: argparse.Namespace, path: Path) -> "CalciumSource":
    """Return the recording and what is done to it."""
    from sts.calcium.fluorescence import OasisSettings
    from sts.calcium.preparation import Preparation
    from sts.calcium.windows import WindowSettings
    from sts.studies.calcium.source import CalciumSource

    oasis: dict[str, Any] = {"order": args.order}
    if args.decay:
        oasis["decay"] = parse_decay(args)
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
    return CalciumSource(
        path=str(path),
        rate_hz=args.rate,
        series=args.series,
        transpose=args.transpose,
        preparation=Preparation(
            detrend=args.detrend, relative=args.relative, rate_hz=args.resample
        ),
        windows=WindowSettings(**_take_given(args, "length", "stride")),
        oasis=OasisSettings(**oasis),
    )


def _take_given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the arguments that were given, lists as tuples."""
    values = {name: getattr(args, name, None) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def parse_decay(args: argparse.Namespace) -> tuple[float, ...] | None:
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


COMMANDS = (
    (add_dg, _dg),
    (add_train, _train),
    (add_generate, _generate),
    (add_evaluate, _evaluate),
    (add_deconvolve, _deconvolve),
)
