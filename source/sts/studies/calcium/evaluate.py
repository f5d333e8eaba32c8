"""`evaluate`: generated windows against a stretch that neither trained nor chose the model."""

import logging
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.calcium.checkpoint import CalciumGan, gan_folder, load_gan
from sts.calcium.compare import (
    Measures,
    choose_edges,
    compare_windows,
    join_windows,
    measure_copying,
    measure_rates,
    shuffle_neurons,
    shuffle_phases,
)
from sts.calcium.downstream import DecoderScore, DecoderWindows, compare_decoders
from sts.studies.calcium.pages import ComparedWindows, GanEvaluation, write_pages
from sts.studies.calcium.source import CalciumSource, SplitRecording, load_split

logger = logging.getLogger("sts")

STUDY: Final = "calcium-evaluate"
GENERATED: Final = "generated"
FLOOR: Final = "real, other stretch"
PHASES: Final = "phase-shuffled"
INDEPENDENT: Final = "independent neurons"
# Generated windows for the decoder, as many times the real ones.
MORE: Final = 4
FEWEST: Final = 4


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """Which generator is compared, and with what."""

    name: str
    recording: str = ""
    """Another recording than the one it was trained on, of the same neurons."""
    seed: int = 1


def evaluate_gan(workspace: Workspace, job: EvaluateJob) -> GanEvaluation:
    """Judge a generator by ground truth and by spike statistics, and write the report."""
    gan = load_gan(gan_folder(workspace.models, job.name))
    cohort = _cohort(gan, job)
    rng = np.random.default_rng(job.seed)
    with start_run(workspace, study=STUDY, what=job.name, settings=job) as run:
        real, training = cohort.windows("test"), cohort.windows("training")
        logger.info("the test stretch of %d windows is opened", len(real))
        candidates = _candidates(gan, real, training, rng, seed=job.seed)
        measured = {name: cohort.measured(each) for name, each in candidates.items()}
        edges = choose_edges(cohort.measured(training))
        truly = cohort.measured(real)
        likeness = {name: compare_windows(truly, each, edges) for name, each in measured.items()}
        scale = cohort.cut.scale
        copied = measure_copying(
            *(scale.apply(each) for each in (candidates[GENERATED], real, training))
        )
        helped = _helped(cohort, gan, rng, seed=job.seed)
        found = GanEvaluation(
            folder=run.path,
            likeness=likeness,
            copying=copied,
            truth=_truth(cohort, truly, measured),
            helped=helped,
        )
        run.report(as_report(found) | {"model": to_dict(gan.card)})
        compared = ComparedWindows(
            real=real,
            generated=candidates[GENERATED],
            measured={"real": truly, **measured},
            edges=edges,
        )
        write_pages(run, gan.card, compared, found)
    return replace(found, folder=run.final)


def as_report(found: GanEvaluation) -> dict[str, Any]:
    """Return what was found as plain values."""
    return {
        "likeness": {name: to_dict(each) for name, each in found.likeness.items()},
        "copying": to_dict(found.copying),
        "truth": found.truth,
        "downstream": [to_dict(each) for each in found.helped],
    }


def _cohort(gan: CalciumGan, job: EvaluateJob) -> SplitRecording:
    source = from_dict(CalciumSource, gan.card.data.get("source", {}), where="the card's source")
    if job.recording:
        source = replace(source, path=job.recording)
    cohort = load_split(source)
    if len(cohort.recording.traces) != gan.card.networks.neurons:
        raise StsError(
            f"{source.path} has {len(cohort.recording.traces)} neurons, {job.name} was trained on "
            f"{gan.card.networks.neurons}: give a recording of the same ones"
        )
    if cohort.fingerprint() != gan.card.data.get("fingerprint"):
        logger.warning("%s is not the recording that %s was trained on", source.path, job.name)
    return cohort


def _candidates(
    gan: CalciumGan, real: Floats, training: Floats, rng: np.random.Generator, *, seed: int
) -> dict[str, Floats]:
    """Return as many windows of each kind as there are real ones to compare them with."""
    some = training[rng.permutation(len(training))[: len(real)]]
    return {
        GENERATED: gan.generate(len(real), seed=seed),
        FLOOR: some,
        PHASES: shuffle_phases(some, rng),
        INDEPENDENT: shuffle_neurons(some, rng),
    }


def _truth(
    cohort: SplitRecording, real: Measures, measured: dict[str, Measures]
) -> dict[str, dict[str, float]]:
    trains = cohort.true_windows("test")
    if trains is None:
        return {}
    rates = measure_rates(trains, cohort.recording.rate_hz)
    covariances = np.cov(join_windows(trains))
    off = ~np.eye(len(rates), dtype=bool)
    norm = max(float(np.linalg.norm(covariances[off])), 1e-300)
    return {
        name: {
            "rate_error": float(
                np.median(np.abs(each.rates_hz - rates) / np.maximum(rates, 1e-300))
            ),
            "covariance_error": float(np.linalg.norm((each.covariances - covariances)[off])) / norm,
        }
        for name, each in {"real, deconvolved": real, **measured}.items()
    }


def _helped(
    cohort: SplitRecording, gan: CalciumGan, rng: np.random.Generator, *, seed: int
) -> list[DecoderScore]:
    training = cohort.windows("training")
    counts = [FEWEST]
    while counts[-1] * 4 < len(training):
        counts.append(counts[-1] * 4)
    counts = [each for each in counts if each < len(training)] + [len(training)]
    stretches = DecoderWindows(
        training=training,
        validation=cohort.windows("validation"),
        test=cohort.windows("test"),
        generated=gan.generate(min(MORE * len(training), 2000), seed=seed + 1),
    )
    return compare_decoders(stretches, counts, rng)
