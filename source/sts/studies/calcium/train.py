"""`train`: windows of a recording, a generator, and what it looked like on the way."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sts.base.runs import Run, start_run
from sts.base.settings import to_dict
from sts.base.tracking import Mode, Tracker, track
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.calcium.checkpoint import CalciumGan, GanCard, gan_folder, save_gan
from sts.calcium.compare import find_highest_hz
from sts.calcium.fluorescence import deconvolve
from sts.calcium.networks import Ending, NetworkSettings, Upsampling, parameter_count
from sts.calcium.train import FittedGan, Validation, train_generator
from sts.calcium.trainer import GanTrainSettings
from sts.learning.device import choose_device
from sts.reports.figures.calcium import TracePanel, draw_traces, draw_training
from sts.reports.page import Block, Facts, Picture, Section, write_page
from sts.reports.tables import settings_table
from sts.studies.calcium.source import CalciumSource, SplitRecording, ValidationScore, load_split

logger = logging.getLogger("sts")

STUDY: Final = "calcium"
STATE: Final = "training.safetensors"
# A recording that is silent above this part of what its frame rate can tell was resampled.
LOUD: Final = 0.6
KEPT: Final = (
    "Kept is the generator that is least unlike the validation stretch: divergences of rates, "
    "correlations and van Rossum distances, errors of rates, covariances, autocorrelation and "
    "spectrum, added up. Judge it with `evaluate`, on a stretch that chose nothing."
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The networks, but for what the recording decides."""

    noise: int = 32
    kernel: int = 24
    units: tuple[int, ...] = (320, 256, 192, 128)
    critic_units: tuple[int, ...] = (64, 128, 192, 256, 320)
    shuffle: int = 10
    upsampling: Upsampling = "transposed"
    frame_noise: bool = False
    ending: Ending = "sigmoid"
    differences: bool = False

    def of(self, cohort: SplitRecording, length: int) -> NetworkSettings:
        """Return the networks for a recording."""
        neurons = len(cohort.recording.traces)
        return NetworkSettings(neurons=neurons, length=length, **to_dict(self))


@dataclass(frozen=True, kw_only=True)
class GanJob:
    """What is to be trained."""

    name: str
    source: CalciumSource
    sizes: Sizes = field(default_factory=Sizes)
    settings: GanTrainSettings = field(default_factory=GanTrainSettings)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedGan:
    """What `train` left."""

    model: Path
    folder: Path
    card: GanCard


def train_gan(
    workspace: Workspace, job: GanJob, *, device: str = "auto", wandb: Mode = "off"
) -> TrainedGan:
    """Train a generator; interrupted, the same call goes on."""
    cohort = load_split(job.source)
    with start_run(workspace, study=STUDY, what=job.name, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=STUDY, name=job.name, settings=job)
        fitted = _fit(job, cohort, run, tracker, device=device)
        model = gan_folder(workspace.models, job.name)
        card = save_gan(model, _made(job, cohort, fitted))
        _write_report(run, card, fitted)
        tracker.finish({"score": card.score})
        (run.path / STATE).unlink(missing_ok=True)
    return TrainedGan(model=model, folder=run.final, card=card)


def _fit(
    job: GanJob, cohort: SplitRecording, run: Run, tracker: Tracker, *, device: str
) -> FittedGan:
    _warn_of_silence(cohort)
    chosen, score = choose_device(device), ValidationScore(cohort)
    sizes = job.sizes.of(cohort, job.source.windows.length)

    def on_check(check: Validation, windows: Floats) -> None:
        values = to_dict(check)
        tracker.log({name: values[name] for name in values if name != "step"}, step=check.step)
        draw_windows(run.figures / "samples", cohort, windows, title=f"step {check.step:,}")

    logger.info(
        "training on %d windows of %d neurons on %s",
        len(cohort.cut.windows["training"]),
        sizes.neurons,
        chosen,
    )
    return train_generator(
        cohort.cut.windows["training"],
        cohort.cut.scale,
        sizes=sizes,
        settings=job.settings,
        score=score,
        count=score.count,
        device=chosen,
        state=run.path / STATE,
        on_check=on_check,
    )


def _warn_of_silence(cohort: SplitRecording) -> None:
    rate = cohort.recording.rate_hz
    top = find_highest_hz(cohort.windows("training"), rate)
    if top < LOUD * rate / 2:
        logger.warning(
            "%s has no power above %.3g Hz at %g frames a second: it was made from fewer; "
            "--resample %.3g spares the networks what is not there",
            cohort.recording.name,
            top,
            rate,
            2 * top,
        )


def draw_windows(stem: Path, cohort: SplitRecording, windows: Floats, *, title: str) -> list[Path]:
    """Draw a validation window beside two generated ones."""
    shown = {
        "real": cohort.windows("validation")[0],
        f"generated, {title}": windows[0],
        "another": windows[-1],
    }
    panels = [
        TracePanel(title=name, traces=each, spikes=deconvolve(each, cohort.oasis).spikes > 0)
        for name, each in shown.items()
    ]
    return draw_traces(stem, panels, rate_hz=cohort.recording.rate_hz, unit=cohort.recording.unit)


def _made(job: GanJob, cohort: SplitRecording, fitted: FittedGan) -> CalciumGan:
    recording = cohort.recording
    card = GanCard(
        name=job.name,
        networks=fitted.generator.settings,
        windows=job.source.windows,
        oasis=job.source.oasis,
        rate_hz=recording.rate_hz,
        unit=recording.unit,
        neurons=recording.neurons,
        settings=job.settings,
        best_step=fitted.best.step,
        score=fitted.best.score,
        data={"source": to_dict(job.source), "fingerprint": cohort.fingerprint()},
    )
    return CalciumGan(
        generator=fitted.generator, critic=fitted.critic, scale=cohort.cut.scale, card=card
    )


def _write_report(run: Run, card: GanCard, fitted: FittedGan) -> None:
    run.report({"model": to_dict(card), "checks": [to_dict(check) for check in fitted.checks]})
    settings = {name: value for name, value in to_dict(card).items() if name != "neurons"}
    write_page(
        run.path / "report.html",
        f"Calcium generator of {card.name}",
        subtitle=f"{card.networks.neurons} neurons, windows of {card.networks.length} frames",
        sections=[
            Section("Training", _training(run, card, fitted)),
            Section("Settings", [settings_table(settings)]),
        ],
    )


def _training(run: Run, card: GanCard, fitted: FittedGan) -> list[Block]:
    curves = draw_training(
        run.figures / "training",
        [check.step for check in fitted.checks],
        [check.distance for check in fitted.checks],
        [check.score for check in fitted.checks],
        best_step=fitted.best.step,
    )
    facts = [
        ("kept", f"step {card.best_step:,}", f"of {card.settings.steps:,}"),
        ("unlikeness", f"{card.score:.3f}", "from the validation stretch"),
        ("generator", f"{parameter_count(fitted.generator):,}", "parameters"),
        ("critic", f"{parameter_count(fitted.critic):,}", "parameters"),
    ]
    samples = [run.figures / f"samples.{kind}" for kind in ("png", "svg")]
    return [
        Facts(facts),
        Picture(files=curves, caption=KEPT),
        Picture(files=samples, caption="Real and generated at the last validation."),
    ]
