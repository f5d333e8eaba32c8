"""Training: seeds decide, a kill loses nothing, the best generator is kept; moments of traces."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.base.files import read_json, write_json
from sts.base.types import PRECISIONS, Floats, Precision
from sts.calcium import train as module
from sts.calcium.checkpoint import CalciumGan, GanCard, load_gan, save_gan
from sts.calcium.fluorescence import OasisSettings
from sts.calcium.networks import NetworkSettings, sample_windows
from sts.calcium.train import (
    SLOW,
    FittedGan,
    GanTrainer,
    GanTrainSettings,
    Validation,
    compute_moments,
    measure_moments,
    select_lags,
    train_generator,
)
from sts.calcium.windows import Cut, WindowSettings, cut_windows
from tests.base.tampering import WAYS, check_refusal, tamper

NEURONS, LENGTH = 4, 64
SIZES = NetworkSettings(
    neurons=3, length=32, noise=4, kernel=4, units=(6, 6), critic_units=(6, 8), shuffle=2
)
SETTINGS = GanTrainSettings(
    steps=6, critic_steps=2, batch=4, check_every=2, learning_rate=1e-3, average=0.5
)
WINDOWS = WindowSettings(length=32, gap_s=0.5)


def traces(frames: int, *, shared: float = 0.6, seed: int = 0) -> Tensor:
    """Return neurons that follow one source, noisily, and remember it for some frames."""
    rng = np.random.default_rng(seed)
    source = shared * rng.standard_normal(frames)
    made = np.sqrt(1 - shared**2) * rng.standard_normal((NEURONS, frames)) + source
    kept = np.zeros_like(made)
    for frame in range(1, frames):
        kept[:, frame] = 0.8 * kept[:, frame - 1] + made[:, frame]
    return torch.from_numpy(3 + 0.1 * kept).float()


def windows(values: Tensor) -> Tensor:
    return values.reshape(NEURONS, -1, LENGTH).transpose(0, 1)


REAL = traces(LENGTH * 2000)
KNOWN = measure_moments(REAL, LENGTH)


def test_moments_are_those_of_numpy() -> None:
    values = traces(500)
    centred = values - values.mean(dim=1, keepdim=True)
    found = compute_moments(centred[None])
    lag = SLOW[2]
    expected = centred.numpy()[:, :-lag] @ centred.numpy()[:, lag:].T / (500 - lag)
    assert np.allclose(found[2 + 2], expected, atol=1e-5)  # float32
    steps = np.diff(centred.numpy(), axis=1)
    assert np.allclose(found[1], (steps**3).mean(axis=1), atol=1e-6)


def test_other_windows_of_the_same_kind_are_at_no_distance_on_average() -> None:
    other = windows(traces(LENGTH * 800, seed=1))
    found = [float(KNOWN.distance(some)) for some in other.split(8)]
    # the mean of 100 distances, each of which chance moves either way
    assert abs(np.mean(found)) < 4 * np.std(found) / 10
    assert min(found) < 0


@pytest.mark.parametrize(
    ("kind", "least"),
    # neurons that share nothing lose all covariances between them: one for each measured alike
    [("independent", 1.0), ("higher", 1.0), ("slower", 0.1)],
)
def test_what_differs_is_at_a_distance(kind: str, least: float) -> None:
    other = {
        "independent": lambda: traces(LENGTH * 400, shared=0.0, seed=1),
        "higher": lambda: traces(LENGTH * 400, seed=1) + KNOWN.deviation,
        "slower": lambda: traces(LENGTH * 800, seed=1)[:, ::2],
    }[kind]()
    assert float(KNOWN.distance(windows(other))) > least


def test_the_distance_leads_back() -> None:
    """Following its gradient brings shifted windows home."""
    shift = torch.full((NEURONS, 1), 0.2, requires_grad=True)
    some = windows(traces(LENGTH * 200, seed=1))
    optimiser = torch.optim.Adam([shift], lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        KNOWN.distance(some + shift).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # a step of Adam, and chance in the mean of what is shifted
    assert shift.detach().abs().max() < 0.04


def test_short_windows_tell_of_short_lags_only() -> None:
    assert select_lags(SLOW, 33) == (0, 2, 4, 8, 16)
    assert len(compute_moments(torch.zeros(2, 3, 33))) == 2 + 5 + 4


@pytest.fixture(scope="module", autouse=True)
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cut() -> Cut:
    waves = np.sin(np.arange(1000) / 5 + np.arange(3)[:, None])
    traces = waves + 0.1 * np.random.default_rng(0).standard_normal((3, 1000))
    return cut_windows(traces.astype(np.float32), 20.0, WINDOWS)


def spread(windows: Floats) -> float:
    return float(abs(windows.std() - 0.7))


def fit(cut: Cut, settings: GanTrainSettings = SETTINGS, **more: object) -> FittedGan:
    arguments = {"score": spread, "sizes": SIZES, **more}
    return train_generator(
        cut.windows["training"],
        cut.scale,
        settings=settings,
        count=8,
        **arguments,  # type: ignore[arg-type]
    )


def same(first: FittedGan, second: FittedGan) -> bool:
    pairs = zip(first.generator.parameters(), second.generator.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_one_seed_gives_one_model_and_two_seeds_two(cut: Cut) -> None:
    first, again = fit(cut), fit(cut)
    other = fit(cut, replace(SETTINGS, seed=1))
    assert same(first, again)
    assert first.checks == again.checks
    assert not same(first, other)


EVERYTHING = replace(
    SIZES, upsampling="nearest", frame_noise=True, ending="spikes", differences=True
)
TOLD = replace(SETTINGS, moments=1.0, cooling=0.5, critic_rate=2e-3)


def test_one_seed_gives_one_model_with_all_options(cut: Cut) -> None:
    first, again = (fit(cut, TOLD, sizes=EVERYTHING) for _ in range(2))
    assert same(first, again)
    assert first.checks == again.checks
    assert not same(first, fit(cut, replace(TOLD, seed=1), sizes=EVERYTHING))
    windows = [sample_windows(first.generator, 70, seed=seed) for seed in (5, 5, 6)]
    assert np.array_equal(windows[0], windows[1])
    assert not np.array_equal(windows[0], windows[2])


def test_learning_rates_fall_to_nothing_at_the_end() -> None:
    settings = replace(SETTINGS, steps=10, cooling=0.5, critic_rate=5e-3)
    trainer = GanTrainer(SIZES, settings, torch.device("cpu"))
    found = []
    for step in (0, 5, 9):
        trainer.set_rates(step)
        optimisers = trainer.state.optimisers
        found.append({name: each.param_groups[0]["lr"] for name, each in optimisers.items()})
    assert [each["generator"] for each in found] == pytest.approx([1e-3, 1e-3, 2e-4])
    assert [each["critic"] for each in found] == pytest.approx([5e-3, 5e-3, 1e-3])


def test_moments_bring_the_generator_near_the_training_windows(cut: Cut) -> None:
    def distance(settings: GanTrainSettings) -> float:
        found = fit(cut, settings, sizes=EVERYTHING)
        known = measure_moments(
            torch.from_numpy(cut.scale.apply(cut.windows["training"].traces)), 32
        )
        return float(known.distance(torch.from_numpy(sample_windows(found.generator, 200, seed=0))))

    settings = replace(TOLD, steps=60, learning_rate=1e-2, batch=16, check_every=60)
    assert distance(settings) < 0.5 * distance(replace(settings, moments=0.0))


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("at", [2, 4])
def test_a_killed_training_ends_as_one_that_was_not(
    cut: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(module, "KEEP_GENERATOR_EVERY_S", 0.0)
    state = tmp_path / "training.safetensors"
    step = GanTrainer.generator_step
    calls = []

    def killed(self: GanTrainer, random: torch.Generator) -> torch.Tensor:
        calls.append(1)
        if len(calls) == at + 2:
            raise KilledError
        return step(self, random)

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(GanTrainer, "generator_step", killed)
        fit(cut, state=state)
    resumed = []
    found = fit(cut, state=state, on_check=lambda check, _: resumed.append(check.step))
    assert min(resumed) > at
    whole = fit(cut)
    assert same(found, whole)
    assert found.checks == whole.checks


def test_a_state_of_another_training_is_not_taken(
    cut: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_GENERATOR_EVERY_S", 0.0)
    state = tmp_path / "training.safetensors"
    fit(cut, replace(SETTINGS, seed=1), state=state)
    assert same(fit(cut, state=state), fit(cut))


def test_a_damaged_state_is_refused(cut: Cut, tmp_path: Path) -> None:
    state = tmp_path / "training.safetensors"
    state.write_bytes(b"nonsense")
    with pytest.raises(StsError, match="is damaged: remove it"):
        fit(cut, state=state)


def test_the_best_generator_is_kept_and_not_the_last(cut: Cut) -> None:
    seen: dict[int, Floats] = {}

    def keep(check: Validation, windows: Floats) -> None:
        seen[check.step] = windows

    scores = iter([3.0, 1.0, 2.0])
    found = fit(cut, score=lambda _: next(scores), on_check=keep)
    assert found.best.step == 4
    assert [check.better for check in found.checks] == [True, True, False]
    windows = cut.scale.undo(sample_windows(found.generator, 8, seed=(SETTINGS.seed, 4)))
    assert np.array_equal(windows, seen[4])
    assert not np.array_equal(seen[4], seen[6])


def test_the_critic_learns_to_tell_real_from_generated(cut: Cut) -> None:
    settings = replace(SETTINGS, steps=1, critic_steps=60, batch=16, learning_rate=3e-3)
    found = fit(cut, settings)
    # a critic that knows nothing holds them 0 apart; its slope is kept near 1
    assert found.checks[-1].distance > 0.3


def test_the_average_follows_the_generator(cut: Cut) -> None:
    trainer = GanTrainer(SIZES, replace(SETTINGS, average=0.0), torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    before = trainer.average.begin.weight.clone()
    trainer.generator_step(random)
    assert torch.allclose(trainer.average.begin.weight, trainer.generator.begin.weight)
    assert not torch.equal(before, trainer.average.begin.weight)


def test_a_training_that_diverges_says_so(cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GanTrainer, "generator_step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(StsError, match="diverged before step 2: lower the learning rate"):
        fit(cut)


@pytest.fixture(scope="module")
def gan(cut: Cut) -> CalciumGan:
    found = fit(cut)
    card = GanCard(
        name="waves",
        networks=SIZES,
        windows=WINDOWS,
        oasis=OasisSettings(),
        rate_hz=20.0,
        unit="dF/F",
        neurons=("a", "b", "c"),
        settings=SETTINGS,
    )
    return CalciumGan(generator=found.generator, critic=found.critic, scale=cut.scale, card=card)


def test_a_stored_generator_makes_the_same_windows(gan: CalciumGan, tmp_path: Path) -> None:
    card = save_gan(tmp_path, gan)
    found = load_gan(tmp_path)
    assert found.card == card
    assert np.array_equal(found.generate(5, seed=2), gan.generate(5, seed=2))
    assert not np.array_equal(found.generate(5, seed=2), gan.generate(5, seed=3))


def test_generated_windows_are_in_physical_units(gan: CalciumGan) -> None:
    windows = gan.generate(5, seed=0)
    assert windows.shape == (5, 3, 32)
    assert (windows >= gan.scale.low[:, None] - 1e-6).all()
    assert (windows <= gan.scale.high[:, None] + 1e-6).all()
    assert windows.min() < 0  # the waves go below 0, what the networks make does not


def test_a_damaged_generator_is_refused(gan: CalciumGan, tmp_path: Path) -> None:
    save_gan(tmp_path, gan)
    path = tmp_path / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(StsError, match="is damaged or not the one"):
        load_gan(tmp_path)


def test_no_generator_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"no model at .*: train it again"):
        load_gan(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": 0},
        {"learning_rate": 0.0},
        {"average": 1.0},
        {"penalty": -1.0},
        {"cooling": 1.0},
        {"critic_rate": 0.0},
        {"moments": -1.0},
        {"moments": 1.0, "batch": 1},
    ],
)
def test_settings_that_cannot_train_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(StsError):
        replace(SETTINGS, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_a_generator_that_was_tampered_with_is_refused_in_one_line(
    gan: CalciumGan, tmp_path: Path, way: str
) -> None:
    save_gan(tmp_path / "model", gan)
    tamper(tmp_path / "model", way)
    check_refusal(lambda: load_gan(tmp_path / "model"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"networks": {"neurons": 3, "units": [10**9]}}, "must be at least 1 and at most 8192"),
        ({"networks": {"neurons": 3, "units": [8192] * 20}}, "does not contain the networks"),
        ({"networks": {"neurons": 3, "units": [8] * 30}}, "more than 20 layers"),
        ({"networks": {"neurons": 10**9}}, "neurons must be"),
        ({"rate_hz": 0.0}, "rate_hz must be above 0"),
        ({"oasis": {"decay": [1e308, 1e308]}}, "must be at least -2"),
    ],
)
def test_sizes_are_checked_before_anything_is_made(
    gan: CalciumGan, tmp_path: Path, change: dict[str, object], line: str
) -> None:
    save_gan(tmp_path, gan)
    path = tmp_path / "model.json"
    card = read_json(path)
    for name, value in change.items():
        card[name] = {**card[name], **value} if isinstance(value, dict) else value
    write_json(path, card)
    begin = time.perf_counter()
    with pytest.raises(StsError, match=line):
        load_gan(tmp_path)
    # Making twenty layers of 8192 filters would take minutes, if there were the memory.
    assert time.perf_counter() - begin < 10


@pytest.mark.cuda
# The compiler warns of what it does itself.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_networks_train_on_cuda(
    cuda: torch.device, cut: Cut, precision: Precision, compiled: bool
) -> None:
    settings = replace(TOLD, precision=precision, compile=compiled)
    found = fit(cut, settings, sizes=EVERYTHING, device=cuda)
    assert all(np.isfinite((check.distance, check.generator_loss)).all() for check in found.checks)
    assert np.isfinite(sample_windows(found.generator, 8, seed=0)).all()


@pytest.mark.cuda
def test_a_killed_training_goes_on_on_cuda(
    cuda: torch.device, cut: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_GENERATOR_EVERY_S", 0.0)
    settings = replace(SETTINGS, precision="float32")
    state = tmp_path / "training.safetensors"

    def die(check: Validation, _: Floats) -> None:
        if check.step == 4:
            raise KilledError

    with pytest.raises(KilledError):
        fit(cut, settings, device=cuda, state=state, on_check=die)
    resumed: list[int] = []
    found = fit(
        cut,
        settings,
        device=cuda,
        state=state,
        on_check=lambda check, _: resumed.append(check.step),
    )
    assert min(resumed) > 2
    whole = fit(cut, settings, device=cuda)
    # On a GPU sums come out in another order each time: nearly the same, not the same bits.
    for one, other in zip(found.checks, whole.checks, strict=True):
        assert one.score == pytest.approx(other.score, abs=0.05)
