"""`train`: train a generator on windows of a recording, and draw its progress."""

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
from sts.calcium.compare import choose_edges, compare_windows, find_highest_hz, score_likeness
from sts.calcium.fluorescence import deconvolve
from sts.calcium.networks import Ending, NetworkSettings, Upsampling
from sts.calcium.train import FittedGan, GanTrainSettings, Validation, train_generator
from sts.calcium.windows import WindowSettings
from sts.learning.device import choose_device
from sts.learning.training import count_parameters
from sts.reports.figures.calcium import TracePanel, draw_traces, draw_training
from sts.reports.page import Block, Facts, Picture, Section, write_page
from sts.reports.tables import settings_table
from sts.studies.calcium.ground_truth import DEMO
from sts.studies.calcium.source import CalciumSource, SplitRecording, load_split

logger = logging.getLogger("sts")

_STUDY: Final = "calcium"
# File in the run folder that an interrupted training resumes from.
STATE: Final = "training.safetensors"
# Frames of a window of the demo.
DEMO_LENGTH: Final = 128
# A recording without power above this fraction of half its frame rate was probably resampled.
LOUD: Final = 0.6
SELECTION_NOTE: Final = (
    "The generator with the lowest score is kept. The score is the sum of its differences from the "
    "validation stretch: divergences of rates, correlations and van Rossum distances, errors of "
    "rates, covariances, autocorrelation and spectrum. Test the generator with `evaluate`, on a "
    "stretch that was not used to choose it."
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Settings of the networks, except those that follow from the recording."""

    noise: int = 32
    kernel: int = 24
    units: tuple[int, ...] = (320, 256, 192, 128)
    critic_units: tuple[int, ...] = (64, 128, 192, 256, 320)
    shuffle: int = 10
    upsampling: Upsampling = "transposed"
    frame_noise: bool = False
    ending: Ending = "sigmoid"
    differences: bool = False

    def complete(self, cohort: SplitRecording, length: int) -> NetworkSettings:
        """Return all settings of the networks for a recording and a length of windows."""
        neurons = len(cohort.recording.traces)
        return NetworkSettings(neurons=neurons, length=length, **to_dict(self))


@dataclass(frozen=True, kw_only=True)
class GanJob:
    """The settings of a training."""

    name: str
    source: CalciumSource
    sizes: Sizes = field(default_factory=Sizes)
    settings: GanTrainSettings = field(default_factory=GanTrainSettings)


def make_demo_job(path: Path, seed: int = 0) -> GanJob:
    """Return the training of the demo, which takes two minutes on two cores."""
    return GanJob(
        name=DEMO,
        source=CalciumSource(path=str(path), windows=WindowSettings(length=DEMO_LENGTH)),
        sizes=Sizes(
            kernel=8,
            units=(48, 32, 16),
            critic_units=(48, 48, 48),
            shuffle=0,
            upsampling="nearest",
            frame_noise=True,
            ending="spikes",
            differences=True,
        ),
        settings=GanTrainSettings(
            steps=900,
            critic_steps=2,
            batch=64,
            learning_rate=5e-3,
            critic_rate=2e-3,
            cooling=0.7,
            beta1=0.5,
            penalty=1.0,
            moments=3.0,
            average=0.99,
            check_every=100,
            seed=seed,
        ),
    )


class ValidationScore:
    """A score of generated windows on the validation stretch, which selects the best network.

    It never uses the test stretch.
    """

    def __init__(self, cohort: SplitRecording) -> None:
        self._cohort = cohort
        self.count = len(cohort.windows("validation"))
        self._edges = choose_edges(cohort.measure(cohort.windows("training")))
        self._real = cohort.measure(cohort.windows("validation"))

    def __call__(self, windows: Floats) -> float:
        """Return the difference from the validation windows; lower is better."""
        differences = compare_windows(self._real, self._cohort.measure(windows), self._edges)
        return score_likeness(differences)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedGan:
    """The results of `train`."""

    model: Path
    folder: Path
    card: GanCard


def train_gan(
    workspace: Workspace, job: GanJob, *, device: str = "auto", wandb: Mode = "off"
) -> TrainedGan:
    """Train a generator, or resume an interrupted training with the same settings."""
    cohort = load_split(job.source)
    with start_run(workspace, study=_STUDY, what=job.name, settings=job, resume=True) as run:
        tracker = track(wandb, folder=run.path, project=_STUDY, name=job.name, settings=job)
        fitted = _fit(job, cohort, run, tracker, device=device)
        model = gan_folder(workspace.models, job.name)
        card = save_gan(model, _describe(job, cohort, fitted))
        _write_report(run, card, fitted)
        tracker.finish({"score": card.score})
        (run.path / STATE).unlink(missing_ok=True)
    return TrainedGan(model=model, folder=run.final, card=card)


def _fit(
    job: GanJob, cohort: SplitRecording, run: Run, tracker: Tracker, *, device: str
) -> FittedGan:
    _warn_of_resampling(cohort)
    chosen, score = choose_device(device), ValidationScore(cohort)
    sizes = job.sizes.complete(cohort, job.source.windows.length)

    def on_check(check: Validation, windows: Floats) -> None:
        values = to_dict(check)
        tracker.log({name: values[name] for name in values if name != "step"}, step=check.step)
        _draw_windows(run.figures / "samples", cohort, windows, title=f"step {check.step:,}")

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


def _warn_of_resampling(cohort: SplitRecording) -> None:
    """Warn of a recording whose frame rate seems to be increased by resampling."""
    rate = cohort.recording.rate_hz
    top = find_highest_hz(cohort.windows("training"), rate)
    if top < LOUD * rate / 2:
        logger.warning(
            "%s has no power above %.3g Hz at %g frames a second: it was recorded with fewer; "
            "with --resample %.3g the networks need not learn empty frames",
            cohort.recording.name,
            top,
            rate,
            2 * top,
        )


def _draw_windows(stem: Path, cohort: SplitRecording, windows: Floats, *, title: str) -> None:
    """Draw a validation window and two generated windows."""
    shown = {
        "real": cohort.windows("validation")[0],
        f"generated, {title}": windows[0],
        "another": windows[-1],
    }
    panels = [
        TracePanel(title=name, traces=each, spikes=deconvolve(each, cohort.oasis).spikes > 0)
        for name, each in shown.items()
    ]
    draw_traces(stem, panels, rate_hz=cohort.recording.rate_hz, unit=cohort.recording.unit)


def _describe(job: GanJob, cohort: SplitRecording, fitted: FittedGan) -> CalciumGan:
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
            Section("Training", _draw_training(run, card, fitted)),
            Section("Settings", [settings_table(settings)]),
        ],
    )


def _draw_training(run: Run, card: GanCard, fitted: FittedGan) -> list[Block]:
    curves = draw_training(
        run.figures / "training",
        [check.step for check in fitted.checks],
        [check.distance for check in fitted.checks],
        [check.score for check in fitted.checks],
        best_step=fitted.best.step,
    )
    facts = [
        ("kept", f"step {card.best_step:,}", f"of {card.settings.steps:,}"),
        ("score", f"{card.score:.3f}", "from the validation stretch"),
        ("generator", f"{count_parameters(fitted.generator):,}", "parameters"),
        ("critic", f"{count_parameters(fitted.critic):,}", "parameters"),
    ]
    samples = [run.figures / f"samples.{kind}" for kind in ("png", "svg")]
    return [
        Facts(facts),
        Picture(files=curves, caption=SELECTION_NOTE),
        Picture(files=samples, caption="Real and generated at the last validation."),
    ]
