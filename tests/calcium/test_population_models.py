"""Models of spike counts: what each keeps, samples of any length, models on disk, resumption."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import poisson

from sts.base.errors import StsError
from sts.base.types import Ints
from sts.calcium import latent_model
from sts.calcium import latent_training as module
from sts.calcium.compare import (
    compare_populations,
    correlate_counts,
    measure_count_divergence,
    measure_population,
)
from sts.calcium.controls import shuffle_neurons, shuffle_train_phases
from sts.calcium.fluorescence import OasisSettings
from sts.calcium.history import MEMORIES_S, HistoryModel, SharedNoise, find_quantiles, fit_history
from sts.calcium.latent_model import LatentDiffusion, match_samples
from sts.calcium.latent_training import train_latents
from sts.calcium.latents import LatentSettings
from sts.calcium.population_models import (
    POPULATION_KINDS,
    PopulationCard,
    PopulationGenerator,
    PopulationKind,
    PopulationModel,
    fit_gaussian,
    fit_population,
    load_population,
    save_population,
)
from sts.calcium.windows import WindowSettings
from tests.base.tampering import WAYS, check_refusal, tamper

RATE_HZ, LENGTH = 20.0, 32
SMALL = LatentSettings(
    latents=2, channels=4, diffusion=4, steps=8, batch=2, check_every=2, average=0.5
)


def make_population(frames: int, seed: int = 0) -> Ints:
    """Return five neurons of which all but the last follow one source."""
    rng = np.random.default_rng(seed)
    source = np.repeat(rng.standard_normal(frames // 5 + 1), 5)[:frames]
    drive = -2.5 + np.array([1.0, 1.0, 0.8, 0.8, 0.0])[:, None] * source
    return rng.poisson(np.exp(drive))


TRAINING = [make_population(1500), make_population(1000, seed=1)]
VALIDATION = [make_population(300, seed=2)]


@pytest.fixture(scope="module", autouse=True)
def few_samples() -> Iterator[None]:
    """Match models to few samples, which is fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_model, "MATCHED_FRAMES", 500)
        yield


@pytest.fixture(scope="module")
def models() -> dict[str, PopulationModel]:
    torch.set_num_threads(1)
    latent, _ = train_latents(TRAINING, VALIDATION, length=LENGTH, rate_hz=RATE_HZ, settings=SMALL)
    simple: tuple[PopulationKind, ...] = ("gaussian", "history")
    return {"ldns": latent} | {kind: fit_population(kind, TRAINING, RATE_HZ) for kind in simple}


def test_a_gaussian_keeps_rates_and_correlations() -> None:
    binary = np.minimum(np.concatenate(TRAINING, axis=1), 1)
    sample = fit_gaussian([binary]).sample(20, 1000, np.random.default_rng(0))
    joined = sample.swapaxes(0, 1).reshape(5, -1)
    # 20,000 frames: standard errors of 0.002, and the correlations are shrunk by a few percent
    assert np.abs(joined.mean(axis=1) - binary.mean(axis=1)).max() < 0.01
    assert np.abs(np.corrcoef(joined) - np.corrcoef(binary)).max() < 0.04


def test_a_history_that_is_known_is_found_again() -> None:
    keeps = np.exp(-1 / (np.array(MEMORIES_S) * RATE_HZ))
    # a spike makes the next ones rarer at first and more likely later
    weights = np.array([[-1.5, 0.0, -3.0, 2.0, 0.0]] * 2)
    true = HistoryModel(weights=weights, keeps=keeps, highest=np.full((2, 4), 9.0), most=3)
    sample = true.sample(20, 1000, np.random.default_rng(0))
    found = fit_history(list(sample), RATE_HZ)
    # what a spike changes in the log rate of the next frames; standard errors are about 0.03
    shapes = (1 - keeps) * keeps ** np.arange(10)[:, None]
    changes, expected = (each.weights[:, 1:] @ shapes.T for each in (found, true))
    assert expected.min() < -0.9
    assert np.abs(changes - expected).max() < 0.12
    again = found.sample(20, 1000, np.random.default_rng(1))
    assert again.mean() == pytest.approx(sample.mean(), rel=0.1)


def test_counts_are_quantiles_of_poisson() -> None:
    rng = np.random.default_rng(0)
    rates, normal = rng.uniform(0.01, 6.0, (200, 5)), rng.standard_normal((200, 5))
    expected = np.minimum(poisson.ppf(ndtr(normal), rates), 7)
    assert np.array_equal(find_quantiles(rates, normal, 7), expected)


def test_noise_of_a_frame_that_is_shared_correlates_neurons_and_keeps_rates() -> None:
    model = HistoryModel(
        weights=np.array([[-1.0, 0, 0, 0]] * 2),
        keeps=np.full(3, 0.5),
        highest=np.ones((2, 3)),
        most=3,
    )
    drive = np.zeros((20, 2, 500))
    noise = SharedNoise(correlations=np.array([[1.0, 0.9], [0.9, 1.0]]), keep=0.8)
    alone, together = (
        model.sample(20, 500, np.random.default_rng(0), drive, each).swapaxes(0, 1).reshape(2, -1)
        for each in (None, noise)
    )
    # 10,000 frames: standard errors of 0.01
    assert np.corrcoef(together)[0, 1] > 0.6
    assert abs(np.corrcoef(alone)[0, 1]) < 0.04
    later = [np.corrcoef(each[0, 1:], each[0, :-1])[0, 1] for each in (alone, together)]
    assert abs(later[0]) < 0.04
    assert later[1] > 0.5
    assert together.mean() == pytest.approx(alone.mean(), rel=0.05)


def test_a_matched_model_has_the_rates_and_the_coincidences_of_its_recording(
    models: dict[str, PopulationModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_model, "MATCHED_FRAMES", 10_000)
    latent = models["ldns"]
    assert isinstance(latent, LatentDiffusion)
    wrong = replace(latent, history=replace(latent.history, weights=latent.history.weights - 1))
    rng = np.random.default_rng(0)
    # coincidences of single frames, which no latent of 8 training steps explains
    fast = rng.random((5, 4000)) < 0.05
    fast[1] = fast[0]
    trains = [fast.astype(np.int64)]
    found = match_samples(wrong, trains, length=LENGTH, rate_hz=RATE_HZ)
    sample = np.concatenate(list(found.sample(400, LENGTH, rng)), axis=1)
    # 12,800 frames with 640 spikes: three standard errors, and one of the matching
    assert np.abs(sample.mean(axis=1) / fast.mean(axis=1) - 1).max() < 0.2
    correlations = np.corrcoef(sample)
    # that of the recording is 1; without shared noise it would be about 0
    assert correlations[0, 1] > 0.3
    assert np.abs(correlations[2:, :2]).max() < 0.1


@pytest.mark.parametrize("kind", POPULATION_KINDS)
def test_samples_have_any_length_and_depend_on_the_seed_alone(
    kind: PopulationKind, models: dict[str, PopulationModel]
) -> None:
    first, again, other = (
        models[kind].sample(3, 50, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == (3, 5, 50)
    assert first.min() == 0
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def make_generator(kind: PopulationKind, models: dict[str, PopulationModel]) -> PopulationGenerator:
    card = PopulationCard(
        name="small",
        model=kind,
        neurons=tuple("abcde"),
        rate_hz=RATE_HZ,
        windows=WindowSettings(length=LENGTH),
        oasis=OasisSettings(),
        settings=SMALL,
        most=int(max(each.max() for each in TRAINING)),
    )
    return PopulationGenerator(model=models[kind], card=card)


@pytest.mark.parametrize("kind", POPULATION_KINDS)
def test_a_stored_model_gives_the_same_samples(
    kind: PopulationKind, models: dict[str, PopulationModel], tmp_path: Path
) -> None:
    made = make_generator(kind, models)
    save_population(tmp_path / "m", made)
    loaded = load_population(tmp_path / "m")
    assert np.array_equal(loaded.generate(4, seed=3), made.generate(4, seed=3))


def test_a_card_has_a_number_of_spikes_that_a_neuron_can_have(
    models: dict[str, PopulationModel],
) -> None:
    # Counts up to this one are tried in each frame.
    with pytest.raises(StsError, match="most must be at least 1 and at most 10000"):
        replace(make_generator("ldns", models).card, most=10**12)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_model_is_refused_in_one_line(
    way: str, models: dict[str, PopulationModel], tmp_path: Path
) -> None:
    save_population(tmp_path / "m", make_generator("ldns", models))
    tamper(tmp_path / "m", way)
    check_refusal(lambda: load_population(tmp_path / "m"))


def test_a_killed_training_resumes_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, PopulationModel]
) -> None:
    monkeypatch.setattr(module, "KEEP_LATENTS_EVERY_S", 0.0)
    step, left = module._train_latent_step, [7]

    def stop(*given: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return step(*given)  # type: ignore[arg-type]

    asked = {"length": LENGTH, "rate_hz": RATE_HZ, "settings": SMALL}
    monkeypatch.setattr(module, "_train_latent_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train_latents(TRAINING, VALIDATION, state=tmp_path / "s", **asked)  # type: ignore[arg-type]
    assert (tmp_path / "s").is_file()
    # Another validation stretch can choose another autoencoder.
    done: list[int] = []
    monkeypatch.setattr(module, "_train_latent_step", lambda *given: done.append(given[1].steps))
    with pytest.raises(AttributeError):
        train_latents(TRAINING, TRAINING[:1], state=tmp_path / "s", **asked)  # type: ignore[arg-type]
    assert done == [0]
    monkeypatch.setattr(module, "_train_latent_step", step)
    model, checks = train_latents(TRAINING, VALIDATION, state=tmp_path / "s", **asked)  # type: ignore[arg-type]
    sample = model.sample(2, LENGTH, np.random.default_rng(0))
    assert np.array_equal(sample, models["ldns"].sample(2, LENGTH, np.random.default_rng(0)))
    assert {check.part for check in checks} == {"autoencoder", "diffusion"}


def test_samples_are_of_the_stretch_that_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    busy = np.array([[0.6, 0.6, 0.6, 0.1, 0.1], [0.1, 0.1, 0.1, 0.6, 0.6]])
    # In the second stretch, which is twice as long, other neurons spike.
    trains = [rng.poisson(np.tile(r[:, None], 800 * (1 + n))) for n, r in enumerate(busy)]
    settings = replace(
        SMALL, stretches=2, steps=200, check_every=50, diffusion=20, learning_rate=0.02, average=0.9
    )
    asked = {"length": LENGTH, "rate_hz": RATE_HZ, "settings": settings}
    latent, _ = train_latents(trains, trains, **asked)  # type: ignore[arg-type]
    made = replace(
        (small := make_generator("ldns", {"ldns": latent})),
        card=replace(small.card, settings=settings),
    )
    save_population(tmp_path / "m", made)
    loaded = load_population(tmp_path / "m")
    rates = [loaded.generate(40, seed=0, stretch=n).mean(axis=(0, 2)) for n in (1, 2)]
    # Rates of the three neurons of the first stretch over those of the others, 6 in the recording.
    ratios = [each[:3].mean() / each[3:].mean() for each in rates]
    assert ratios[0] > 2
    assert ratios[1] < 0.5
    every = loaded.generate(300, seed=0).mean(axis=2)
    # Windows of the second stretch are two in three; five standard errors.
    assert abs((every[:, :3].mean(axis=1) < every[:, 3:].mean(axis=1)).mean() - 2 / 3) < 0.14
    with pytest.raises(StsError, match="knows 2 stretches, not stretch 3"):
        loaded.generate(1, seed=0, stretch=3)
    asked["settings"] = replace(settings, stretches=3)
    with pytest.raises(
        StsError, match="3 stretches are asked for, the recording has 2 without a pause"
    ):
        train_latents(trains, trains, **asked)  # type: ignore[arg-type]


def test_a_learning_rate_that_diverges_is_an_error() -> None:
    with pytest.raises(StsError, match="lower the learning rate"):
        train_latents(
            [1000 * each for each in TRAINING],
            [np.full_like(each, 2**62) for each in VALIDATION],
            length=LENGTH,
            rate_hz=RATE_HZ,
            settings=replace(SMALL, learning_rate=1.0),
        )


def cut(trains: Ints) -> Ints:
    return trains[:, : trains.shape[1] // 50 * 50].reshape(5, -1, 50).swapaxes(0, 1)


def test_windows_differ_from_themselves_in_nothing() -> None:
    measured = measure_population(cut(TRAINING[0]), RATE_HZ)
    assert set(compare_populations(measured, measured).values()) == {0.0}


def test_controls_lose_what_they_should_and_keep_the_counts() -> None:
    windows, rng = cut(make_population(20_000)), np.random.default_rng(0)
    real = measure_population(windows, RATE_HZ)
    alone, phases = shuffle_neurons(windows, rng), shuffle_train_phases(windows, rng)
    assert np.array_equal(phases.sum(axis=2), windows.sum(axis=2))
    assert real.correlations[0] > 0.4
    # 4,000 counts: three standard errors
    assert np.abs(correlate_counts(alone, RATE_HZ)[0, 1]) < 0.1
    lost = compare_populations(real, measure_population(alone, RATE_HZ))
    same = compare_populations(real, measure_population(cut(make_population(20_000, 5)), RATE_HZ))
    for name in ("counts", "together", "correlations"):
        assert lost[name] > 3 * same[name], name
    assert lost["rates"] == pytest.approx(0.0, abs=1e-12)


def test_autocorrelation_is_the_mean_product_of_frames_apart() -> None:
    windows = cut(TRAINING[0])
    counts = windows.sum(axis=1) - windows.sum(axis=1).mean()
    expected = [(counts[:, lag:] * counts[:, :-lag]).mean() for lag in range(1, 41)]
    found = measure_population(windows, RATE_HZ).autocorrelation
    assert np.allclose(found, np.array(expected) / (counts**2).mean())


def test_a_divergence_is_that_of_the_two_distributions() -> None:
    assert measure_count_divergence(np.array([10.0, 5.0]), np.array([10.0, 5.0])) == 0.0
    expected = 0.75 * np.log(3) + 0.25 * np.log(1 / 3)
    many = measure_count_divergence(np.array([75e6, 25e6]), np.array([25e6, 75e6]))
    assert many == pytest.approx(expected, rel=1e-6)  # the half counts do not matter
