"""Models of spike counts: trained on a population, and judged on the test stretch of it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import Run, start_run
from sts.base.settings import to_dict
from sts.base.types import Ints
from sts.base.workspace import Workspace
from sts.calcium.checkpoint import gan_folder
from sts.calcium.compare import (
    POPULATION_QUANTITIES,
    Copying,
    PopulationMeasures,
    bin_counts,
    compare_populations,
    measure_copying,
    measure_population,
)
from sts.calcium.controls import shuffle_neurons, shuffle_train_phases
from sts.calcium.latent_training import LatentCheck, train_latents
from sts.calcium.latents import LatentSettings
from sts.calcium.population_models import (
    PopulationCard,
    PopulationGenerator,
    PopulationKind,
    PopulationModel,
    fit_gaussian,
    fit_population,
    save_population,
)
from sts.calcium.windows import WindowSettings
from sts.learning.device import choose_device
from sts.reports.figures.calcium import CurvePanel, draw_spectra
from sts.reports.page import Block, Picture, Section, Table, write_page
from sts.reports.tables import settings_table
from sts.studies.calcium.pages import describe_window_copies
from sts.studies.calcium.source import CalciumSource, SplitRecording, load_split

logger = logging.getLogger("sts")

_STUDY: Final = "calcium"
_STATE: Final = "training.safetensors"
# Short windows, since running periods are short, and a test stretch that is large enough to judge.
POPULATION_WINDOWS: Final = WindowSettings(length=128, validation=0.15, test=0.3, gap_s=2.0)
# Draws of each kind of windows that a mean difference is taken over.
DRAWS: Final = 10
# Names of the rows beside the generated windows.
POPULATION_FLOOR: Final = "real, training stretch"
GAUSSIAN: Final = "dichotomised Gaussian"
SHUFFLED_PHASES: Final = "phase-shuffled"
NO_RELATIONS: Final = "independent neurons"
JUDGE_NOTE: Final = (
    "Differences from the test stretch, which chose nothing; means over draws of as many windows "
    "as it has, with their deviations; lower is better. The floor: real windows of the training "
    "stretch. The dichotomised Gaussian has the rates and pairwise covariances of the training "
    "stretch, and no memory. Phase-shuffled and independent windows are made from real ones."
)


@dataclass(frozen=True, kw_only=True)
class PopulationJob:
    """The settings of a training."""

    name: str
    model: PopulationKind
    source: CalciumSource
    settings: LatentSettings = field(default_factory=LatentSettings)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedPopulation:
    """The results of a training."""

    model: Path
    folder: Path
    card: PopulationCard
    checks: tuple[LatentCheck, ...]


def train_population(
    workspace: Workspace, job: PopulationJob, *, device: str = "auto"
) -> TrainedPopulation:
    """Train a model of spike counts, or resume an interrupted training with the same settings."""
    cohort = load_split(job.source)
    with start_run(workspace, study=_STUDY, what=job.name, settings=job, resume=True) as run:
        generator, checks = fit_generator(job, cohort, device=device, state=run.path / _STATE)
        model = gan_folder(workspace.models, job.name)
        card = save_population(model, generator)
        run.report({"model": to_dict(card), "checks": [to_dict(check) for check in checks]})
        (run.path / _STATE).unlink(missing_ok=True)
    return TrainedPopulation(model=model, folder=run.final, card=card, checks=checks)


def fit_generator(
    job: PopulationJob, cohort: SplitRecording, *, device: str, state: Path | None = None
) -> tuple[PopulationGenerator, tuple[LatentCheck, ...]]:
    """Return a model that is fitted to the training stretch, and its validations."""
    trains, rate_hz = cohort.find_trains(), cohort.recording.rate_hz
    training = cohort.cut.pieces("training", trains)
    logger.info("training on %d neurons, %d frames", len(trains), sum(p.shape[1] for p in training))
    checks: tuple[LatentCheck, ...] = ()
    model: PopulationModel
    if job.model == "ldns":
        model, checks = train_latents(
            training,
            cohort.cut.pieces("validation", trains),
            length=job.source.windows.length,
            rate_hz=rate_hz,
            settings=job.settings,
            device=choose_device(device),
            state=state,
        )
    else:
        model = fit_population(job.model, training, rate_hz)
    card = PopulationCard(
        name=job.name,
        model=job.model,
        neurons=cohort.recording.neurons,
        rate_hz=rate_hz,
        windows=job.source.windows,
        oasis=job.source.oasis,
        settings=job.settings,
        most=max(int(np.concatenate(training, axis=1).max()), 1),
        data={"source": to_dict(job.source), "fingerprint": cohort.fingerprint()},
    )
    return PopulationGenerator(model=model, card=card), checks


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationJudgement:
    """Differences of several kinds of windows from the test stretch, and the last measures."""

    differences: dict[str, dict[str, list[float]]]
    """Row -> quantity -> value of each draw."""
    real: PopulationMeasures
    measures: dict[str, PopulationMeasures]
    windows: int
    copying: dict[str, Copying]
    """Generator -> whether its windows copy training windows, by counts in 0.5 s."""

    def mean(self, row: str, quantity: str) -> float:
        """Return the mean over the draws."""
        return float(np.mean(self.differences[row][quantity]))

    def beaten(self, row: str, other: str = GAUSSIAN) -> list[str]:
        """Return the quantities in which one row is closer to the test stretch than another."""
        return [q for q in POPULATION_QUANTITIES if self.mean(row, q) < self.mean(other, q)]


def judge_population(
    cohort: SplitRecording,
    generators: Mapping[str, Callable[[int, int], Ints]],
    *,
    seed: int,
    detected: bool = False,
) -> PopulationJudgement:
    """Compare windows of generators, a floor and controls with the test stretch.

    Parameters
    ----------
    generators
        Name -> function of a number of windows and a seed, which returns spike counts.
    detected
        Real spikes are those that OASIS finds in each window, even if the true ones are known.
    """
    rate_hz = cohort.recording.rate_hz
    test, training, pieces = _take_parts(cohort, detected=detected)
    logger.info("the test stretch of %d windows is opened", len(test))
    if len(training) < len(test):
        raise StsError(
            f"{cohort.recording.name} has fewer training windows than test windows: give a "
            "smaller --length"
        )
    gaussian = fit_gaussian(pieces)
    rng = np.random.default_rng(seed)

    def draw() -> Ints:
        return training[rng.permutation(len(training))[: len(test)]]

    frames = test.shape[-1]
    made = {name: partial(each, len(test)) for name, each in generators.items()}
    rows: dict[str, Callable[[int], Ints]] = {
        **made,
        POPULATION_FLOOR: lambda _: draw(),
        GAUSSIAN: lambda _: gaussian.sample(len(test), frames, rng),
        SHUFFLED_PHASES: lambda _: shuffle_train_phases(draw(), rng),
        NO_RELATIONS: lambda _: shuffle_neurons(draw(), rng),
    }
    real = measure_population(test, rate_hz)
    differences: dict[str, dict[str, list[float]]] = {}
    measures, copying = {}, {}
    for name, make in rows.items():
        windows = [make(seed + number) for number in range(DRAWS)]
        if name in made:
            some = (bin_counts(each, rate_hz) for each in (windows[0], test, training))
            copying[name] = measure_copying(*some)
        drawn = [measure_population(each, rate_hz) for each in windows]
        found = [compare_populations(real, each) for each in drawn]
        differences[name] = {q: [each[q] for each in found] for q in POPULATION_QUANTITIES}
        measures[name] = drawn[-1]
    return PopulationJudgement(
        differences=differences,
        real=real,
        measures=measures,
        windows=len(test),
        copying=copying,
    )


def _take_parts(cohort: SplitRecording, *, detected: bool) -> tuple[Ints, Ints, list[Ints]]:
    """Return the spikes of test and training windows, and those of the training pieces."""
    if detected:
        test, training = (cohort.detect(cohort.windows(part)) for part in ("test", "training"))
        return test, training, list(training)
    trains = cohort.find_trains()
    test, training = (cohort.cut.take(part, trains) for part in ("test", "training"))
    return test, training, cohort.cut.pieces("training", trains)


def write_population_page(
    run: Run, card: PopulationCard, judgement: PopulationJudgement, name: str
) -> None:
    """Draw the figure and write report.html."""
    settings = {key: value for key, value in to_dict(card).items() if key != "neurons"}
    write_page(
        run.path / "report.html",
        f"Generated spikes of {card.name}",
        subtitle=f"{judgement.windows} test windows of {len(card.neurons)} neurons, "
        f"{card.windows.length / card.rate_hz:.1f} s each, at {card.rate_hz:g} Hz",
        sections=[
            Section("Likeness", describe_judgement(judgement, name)),
            Section("Side by side", [_draw_judgement(run, judgement, card.rate_hz)]),
            Section("Settings", [settings_table(settings)]),
        ],
    )


def describe_judgement(judgement: PopulationJudgement, name: str) -> list[Block]:
    """Return what a generator reaches, in words and as a table."""
    rows = [
        [row, *(f"{np.mean(each):.3g} ± {np.std(each):.2g}" for each in values.values())]
        for row, values in judgement.differences.items()
    ]
    table = Table(columns=["windows", *POPULATION_QUANTITIES.values()], rows=rows)
    copying = describe_window_copies(judgement.copying[name])
    return [compare_with_gaussian(judgement, name), JUDGE_NOTE, table, copying]


def compare_with_gaussian(judgement: PopulationJudgement, name: str) -> str:
    """Return one sentence that says in what a generator is closer than a dichotomised Gaussian."""
    better = [POPULATION_QUANTITIES[each] for each in judgement.beaten(name)]
    if not better:
        return f"The {name} windows are closer than the dichotomised Gaussian in nothing."
    unknown = [
        text
        for quantity, text in POPULATION_QUANTITIES.items()
        if not np.isfinite(judgement.mean(name, quantity) - judgement.mean(GAUSSIAN, quantity))
    ]
    worse = [text for text in POPULATION_QUANTITIES.values() if text not in (*better, *unknown)]
    return (
        f"The {name} windows are closer than the dichotomised Gaussian in: {', '.join(better)}. "
        f"Not closer: {', '.join(worse) or 'nothing'}."
        + (f" Too few spikes to compare: {', '.join(unknown)}." if unknown else "")
    )


def _draw_judgement(run: Run, judgement: PopulationJudgement, rate_hz: float) -> Block:
    shown = {name: each for name, each in judgement.measures.items() if name != NO_RELATIONS}
    real = judgement.real
    panels = []
    for label, quantity in (
        ("spikes of the population in a frame", "counts"),
        ("neurons active in the same 0.5 s", "together"),
    ):
        every = {name: getattr(each, quantity) for name, each in shown.items()}
        true = getattr(real, quantity)
        size = max(len(true), *(len(each) for each in every.values()))
        parts = {n: np.pad(v, (0, size - len(v))) / v.sum() for n, v in every.items()}
        panels.append(
            CurvePanel(
                x_label=label,
                y_label="part of frames" if quantity == "counts" else "part of bins",
                x=np.arange(size, dtype=np.float64),
                real=np.pad(true, (0, size - len(true))) / true.sum(),
                others=parts,
            )
        )
    lags = np.arange(1, len(real.autocorrelation) + 1) / rate_hz
    panels.append(
        CurvePanel(
            x_label="lag (s)",
            y_label="autocorrelation of the population",
            x=lags,
            real=real.autocorrelation,
            others={name: each.autocorrelation for name, each in shown.items()},
        )
    )
    return Picture(
        files=draw_spectra(run.figures / "population", panels),
        caption="The test stretch and the last draw of every kind of windows.",
    )
