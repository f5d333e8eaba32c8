"""`evaluate`: generated windows against a stretch that neither trained nor chose the model."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.calcium.checkpoint import CalciumGan, gan_folder, load_gan
from sts.calcium.compare import Copying, Likeness, compare, copying, edges_of
from sts.calcium.downstream import Helped, Stretches, does_it_help
from sts.calcium.measures import Measures, firing_rates, joined
from sts.calcium.surrogates import independent, phase_shuffled
from sts.studies.calcium.pages import write_pages
from sts.studies.calcium.pictures import Judged
from sts.studies.calcium.source import Cohort, Source, load_cohort

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
    """What is to be judged."""

    name: str
    recording: str = ""
    """Another recording than the one it was trained on, of the same neurons."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What `evaluate` found."""

    folder: Path
    likeness: dict[str, Likeness]
    """Of the generated windows, the floor and the controls."""
    copying: Copying
    truth: dict[str, dict[str, float]]
    """Errors of rates and covariances from the true spikes; empty where these are not known."""
    helped: list[Helped]


def evaluate(workspace: Workspace, job: EvaluateJob) -> Evaluated:
    """Judge a generator by ground truth and by spike statistics, and write the report."""
    gan = load_gan(gan_folder(workspace.models, job.name))
    cohort = _cohort(gan, job)
    rng = np.random.default_rng(job.seed)
    with start_run(workspace, study=STUDY, what=job.name, settings=job) as run:
        real, training = cohort.windows("test"), cohort.windows("training")
        logger.info("the test stretch of %d windows is opened", len(real))
        candidates = _candidates(gan, real, training, rng, seed=job.seed)
        measured = {name: cohort.measured(each) for name, each in candidates.items()}
        edges = edges_of(cohort.measured(training))
        truly = cohort.measured(real)
        likeness = {name: compare(truly, each, edges) for name, each in measured.items()}
        scale = cohort.cut.scale
        copied = copying(*(scale.apply(each) for each in (candidates[GENERATED], real, training)))
        helped = _helped(cohort, gan, rng, seed=job.seed)
        found = Evaluated(
            folder=run.path,
            likeness=likeness,
            copying=copied,
            truth=_truth(cohort, truly, measured),
            helped=helped,
        )
        run.report(as_report(found) | {"model": to_dict(gan.card)})
        judged = Judged(
            real=real,
            generated=candidates[GENERATED],
            measured={"real": truly, **measured},
            edges=edges,
        )
        write_pages(run, gan.card, judged, found)
    return replace(found, folder=run.final)


def as_report(found: Evaluated) -> dict[str, Any]:
    """Return what was found as plain values."""
    return {
        "likeness": {name: to_dict(each) for name, each in found.likeness.items()},
        "copying": to_dict(found.copying),
        "truth": found.truth,
        "downstream": [to_dict(each) for each in found.helped],
    }


def _cohort(gan: CalciumGan, job: EvaluateJob) -> Cohort:
    source = from_dict(Source, gan.card.data.get("source", {}), where="the card's source")
    if job.recording:
        source = replace(source, path=job.recording)
    cohort = load_cohort(source)
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
        PHASES: phase_shuffled(some, rng),
        INDEPENDENT: independent(some, rng),
    }


def _truth(
    cohort: Cohort, real: Measures, measured: dict[str, Measures]
) -> dict[str, dict[str, float]]:
    trains = cohort.true_windows("test")
    if trains is None:
        return {}
    rates = firing_rates(trains, cohort.recording.rate_hz)
    covariances = np.cov(joined(trains))
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
    cohort: Cohort, gan: CalciumGan, rng: np.random.Generator, *, seed: int
) -> list[Helped]:
    training = cohort.windows("training")
    counts = [FEWEST]
    while counts[-1] * 4 < len(training):
        counts.append(counts[-1] * 4)
    counts = [each for each in counts if each < len(training)] + [len(training)]
    stretches = Stretches(
        training=training,
        validation=cohort.windows("validation"),
        test=cohort.windows("test"),
        generated=gan.generate(min(MORE * len(training), 2000), seed=seed + 1),
    )
    return does_it_help(stretches, counts, rng)
