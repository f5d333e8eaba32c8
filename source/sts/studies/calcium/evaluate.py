"""`evaluate`: generated windows compared with the test stretch, which was not used before."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.calcium.checkpoint import CalciumGan, GanCard, gan_folder
from sts.calcium.compare import (
    Measures,
    choose_edges,
    compare_windows,
    measure_copying,
    measure_errors,
    measure_rates,
)
from sts.calcium.controls import shuffle_neurons, shuffle_phases
from sts.calcium.downstream import DecoderScore, DecoderWindows, compare_decoders
from sts.calcium.population_models import PopulationCard, PopulationGenerator, load_generator
from sts.calcium.windows import join_windows
from sts.reports.page import Block
from sts.studies.calcium.pages import GENERATED, ComparedWindows, GanEvaluation, write_pages
from sts.studies.calcium.population import (
    PopulationJudgement,
    compare_with_gaussian,
    describe_judgement,
    judge_population,
    write_population_page,
)
from sts.studies.calcium.source import CalciumSource, SplitRecording, load_split

logger = logging.getLogger("sts")

_STUDY: Final = "calcium-evaluate"
_Names = tuple[str, ...]
# Names of the lower limit (other real windows) and of the two controls.
REAL_FLOOR: Final = "real, other stretch"
PHASES: Final = "phase-shuffled"
INDEPENDENT: Final = "independent neurons"
FOUND_SPIKES: Final = (
    "The spikes are those that OASIS finds, in generated and in real traces alike: its errors are "
    "a part of all rows."
)
# Number of generated windows for the decoder, relative to real windows.
MORE: Final = 4
# Smallest number of real windows for the training of a decoder.
FEWEST_WINDOWS: Final = 4


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """The settings of an evaluation."""

    name: str
    """Name of the generator."""
    recording: str = ""
    """Another recording of the same neurons; "": the training recording."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationEvaluation:
    """The results of `evaluate` for a model of spike counts."""

    folder: Path
    judgement: PopulationJudgement
    sentence: str
    """In what the model is closer than a dichotomised Gaussian."""


def evaluate_gan(workspace: Workspace, job: EvaluateJob) -> GanEvaluation | PopulationEvaluation:
    """Compare a generator with true spikes and spike statistics, and write the report."""
    gan = load_generator(gan_folder(workspace.models, job.name))
    if isinstance(gan, PopulationGenerator):
        return _evaluate_population(workspace, job, gan)
    cohort = _load_cohort(gan.card, job)
    rng = np.random.default_rng(job.seed)
    with start_run(workspace, study=_STUDY, what=job.name, settings=job) as run:
        real, training = cohort.windows("test"), cohort.windows("training")
        logger.info("the test stretch of %d windows is opened", len(real))
        windows = {
            GENERATED: gan.generate(len(real), seed=job.seed),
            **draw_controls(training, len(real), rng),
        }
        measures = {name: cohort.measure(window) for name, window in windows.items()}
        edges = choose_edges(cohort.measure(training))
        truth = cohort.measure(real)
        scaled = (cohort.cut.scale.apply(each) for each in (windows[GENERATED], real, training))
        evaluation = GanEvaluation(
            folder=run.path,
            likeness={n: compare_windows(truth, measure, edges) for n, measure in measures.items()},
            copying=measure_copying(*scaled),
            truth=_compare_with_truth(cohort, {"real, deconvolved": truth, **measures}),
            decoders=_compare_decoders(cohort, gan, rng, seed=job.seed),
        )
        report = {
            "likeness": {name: to_dict(each) for name, each in evaluation.likeness.items()},
            "copying": to_dict(evaluation.copying),
            "truth": evaluation.truth,
            "downstream": [to_dict(decoder) for decoder in evaluation.decoders],
            "model": to_dict(gan.card),
        }
        judgement = _judge_traces(cohort, gan, seed=job.seed)
        if isinstance(judgement, PopulationJudgement):
            report["population"] = judgement.differences
        run.report(report)
        compared = ComparedWindows(
            real=real,
            generated=windows[GENERATED],
            measures={"real": truth, **measures},
            edges=edges,
        )
        write_pages(run, gan.card, compared, evaluation, _describe_population(judgement))
    return replace(evaluation, folder=run.final)


def draw_controls(training: Floats, count: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Return as many real training windows as there are test windows, and controls from them."""
    some = training[rng.permutation(len(training))[:count]]
    return {
        REAL_FLOOR: some,
        PHASES: shuffle_phases(some, rng),
        INDEPENDENT: shuffle_neurons(some, rng),
    }


def _judge_traces(
    cohort: SplitRecording, gan: CalciumGan, *, seed: int
) -> PopulationJudgement | StsError:
    """Judge the spikes that OASIS finds in generated and in real traces, or say why it cannot."""
    try:
        return judge_population(
            cohort,
            {GENERATED: lambda count, seed: cohort.detect(gan.generate(count, seed=seed))},
            seed=seed,
            detected=True,
        )
    except StsError as error:
        return error


def _describe_population(judgement: PopulationJudgement | StsError) -> list[Block]:
    if isinstance(judgement, StsError):
        return [f"The spikes of the population are not judged: {judgement}."]
    return [FOUND_SPIKES, *describe_judgement(judgement, GENERATED)]


def _evaluate_population(
    workspace: Workspace, job: EvaluateJob, generator: PopulationGenerator
) -> PopulationEvaluation:
    """Compare a model of spike counts with the test stretch, and write the report."""
    cohort = _load_cohort(generator.card, job)
    with start_run(workspace, study=_STUDY, what=job.name, settings=job) as run:
        judgement = judge_population(
            cohort,
            {GENERATED: lambda count, seed: generator.generate(count, seed=seed)},
            seed=job.seed,
        )
        copying = {name: to_dict(each) for name, each in judgement.copying.items()}
        report = {"population": judgement.differences, "copying": copying}
        run.report({**report, "model": to_dict(generator.card)})
        write_population_page(run, generator.card, judgement, GENERATED)
    sentence = compare_with_gaussian(judgement, GENERATED)
    return PopulationEvaluation(folder=run.final, judgement=judgement, sentence=sentence)


def _load_cohort(card: GanCard | PopulationCard, job: EvaluateJob) -> SplitRecording:
    """Return the recording of the job, which must have the neurons of the generator."""
    source = from_dict(CalciumSource, card.data.get("source", {}), where="the card's source")
    if job.recording:
        source = replace(source, path=job.recording)
    cohort = load_split(source)
    neurons = card.networks.neurons if isinstance(card, GanCard) else len(card.neurons)
    if len(cohort.recording.traces) != neurons:
        raise StsError(
            f"{source.path} has {len(cohort.recording.traces)} neurons, {job.name} was trained on "
            f"{neurons}: give a recording of the same ones"
        )
    _check_names(cohort.recording.neurons, card.neurons, source.path, job.name)
    if cohort.fingerprint() != card.data.get("fingerprint"):
        logger.warning("%s is not the recording that %s was trained on", source.path, job.name)
    return cohort


def _check_names(found: _Names, known: _Names, path: str, generator: str) -> None:
    """Refuse other neurons, or another order; numbers stand for names that a file lacks."""
    numbers = tuple(map(str, range(len(found))))
    if numbers in (found, known):
        return
    for place, (one, other) in enumerate(zip(found, known, strict=False), start=1):
        if one != other:
            raise StsError(
                f"neuron {place} of {path} is {one}, {generator} was trained on {other}: give a "
                "recording of the same neurons in the same order"
            )


def _compare_with_truth(
    cohort: SplitRecording, measures: dict[str, Measures]
) -> dict[str, dict[str, float]]:
    """Return the errors of rates and covariances from the true spikes, if these are known."""
    trains = cohort.true_windows("test")
    if trains is None:
        return {}
    rates_hz = measure_rates(trains, cohort.recording.rate_hz)
    covariances = np.cov(join_windows(trains))
    errors = {name: measure_errors(rates_hz, covariances, m) for name, m in measures.items()}
    return {
        name: {"rate_error": rates, "covariance_error": covariance}
        for name, (rates, covariance) in errors.items()
    }


def _compare_decoders(
    cohort: SplitRecording, gan: CalciumGan, rng: np.random.Generator, *, seed: int
) -> list[DecoderScore]:
    training = cohort.windows("training")
    counts = [FEWEST_WINDOWS]
    while counts[-1] * 4 < len(training):
        counts.append(counts[-1] * 4)
    counts = [count for count in counts if count < len(training)] + [len(training)]
    stretches = DecoderWindows(
        training=training,
        validation=cohort.windows("validation"),
        test=cohort.windows("test"),
        generated=gan.generate(min(MORE * len(training), 2000), seed=seed + 1),
    )
    return compare_decoders(stretches, counts, rng)
