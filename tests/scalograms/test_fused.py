"""Images straight from traces, against full resolution resized; weights of a resize."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from sts.base.errors import StsError
from sts.base.settings import from_dict, to_dict
from sts.base.types import Floats
from sts.scalograms import image as module
from sts.scalograms.bank import ImageBank
from sts.scalograms.fused import Taps, bilinear, second_difference
from sts.scalograms.image import Channels, ImageSettings, TraceSource
from sts.scalograms.transform import Transform
from sts.scalograms.wavelet import PARITIES
from sts.signals.resample import SAMPLES

COLUMNS = [(4800, width) for width in (1, 224, 240, 244, 299, 4799, 4800, 7000)]
ROWS = [(180, height) for height in (1, 96, 180, 224)]
# What the study asks for, of the largest coefficient. Positions that torch rounds to float32 take
# half of it, the rest of our way 1e-5.
TOLERANCE = 1e-4
# Two ways through float32 that add in another order.
ROUNDING = 2e-6
SIZES = [(224, 224), (224, 244), (299, 299), (180, 240), (180, 4800), (96, 96), (128, 128)]
ODD_SIZES = [(1, 1), (17, 31), (331, 997), (200, 1500), (181, 4801), (90, 6000)]
STANDARDS: list[Channels | None] = [None, (1.5, -2.0, 0.5)]


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("size", "outputs"), [*COLUMNS, *ROWS, (1, 5)])
def test_it_resizes_as_interpolate_does(size: int, outputs: int, antialias: bool) -> None:
    line = np.random.default_rng(size + outputs).normal(size=size)
    image = torch.from_numpy(line)[None, None, None]
    wanted = functional.interpolate(
        image, size=(1, outputs), mode="bilinear", antialias=antialias
    ).flatten()
    ours = bilinear(size, outputs, antialias=antialias).dense(size) @ line
    # Half of what float32 moves a position by, 1.5e-4 of a sample, times steps of up to 8.
    np.testing.assert_allclose(ours, wanted.numpy(), atol=1.5e-3 if size > 180 else 1e-4)


@pytest.mark.parametrize("antialias", [False, True])
def test_weights_sum_to_one(antialias: bool) -> None:
    for outputs in (1, 96, 224, 5000):
        weights = bilinear(4800, outputs, antialias=antialias).weights
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


def test_second_differences_of_a_triangle_are_few_and_do_the_same() -> None:
    taps = bilinear(4800, 224, antialias=True)
    sparse = second_difference(taps)
    assert np.count_nonzero(sparse.weights, axis=1).max() <= 7
    # One sample more at either end: that is where the differences of the first and last lie.
    line = np.random.default_rng(3).normal(size=4802)
    wanted = taps.dense(4800) @ np.diff(line, n=2)
    ours = Taps(sparse.first + 1, sparse.weights).dense(4802) @ line
    # float64 either way.
    np.testing.assert_allclose(ours, wanted, atol=1e-12)


@pytest.fixture(scope="module")
def full(traces: Floats) -> dict[str, Tensor]:
    sweeps = torch.from_numpy(traces[:2].reshape(-1, SAMPLES))
    return {parity: Transform(parity)(sweeps).unflatten(0, (2, 2)) for parity in PARITIES}


def resized(scalograms: Tensor, settings: ImageSettings) -> Tensor:
    size = (settings.height, settings.width)
    channels = functional.interpolate(
        scalograms, size=size, mode="bilinear", antialias=settings.antialias
    )
    images = torch.cat([channels, channels[:, :1]], dim=1)
    if settings.mean is not None and settings.deviation is not None:
        mean, deviation = torch.tensor(settings.mean), torch.tensor(settings.deviation)
        images = (images - mean[:, None, None]) / deviation[:, None, None]
    return images


def bank_of(
    traces: Floats, settings: ImageSettings, device: torch.device | str = "cpu"
) -> ImageBank:
    """Return a bank that keeps no image: all are computed when they are asked for."""
    source = TraceSource(traces, settings.plain, device)
    return ImageBank(source, settings, device, budget_bytes=0)


def images_of(traces: Floats, settings: ImageSettings) -> Tensor:
    return bank_of(traces, settings).images(range(len(traces)))


def furthest(ours: Tensor, wanted: Tensor) -> float:
    return float((ours.double() - wanted).abs().max())


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("size", SIZES + ODD_SIZES, ids=str)
def test_an_image_is_full_resolution_resized(
    full: dict[str, Tensor],
    traces: Floats,
    size: tuple[int, int],
    parity: str,
    antialias: bool,
    precision: torch.dtype,
) -> None:
    settings = ImageSettings(height=size[0], width=size[1], antialias=antialias, parity=parity)
    ours = images_of(traces[:2], settings)
    assert ours.shape == (2, 3, *size)
    wanted = resized(full[parity].to(precision), settings)
    assert furthest(ours, wanted) < TOLERANCE * float(full[parity].abs().max())


@pytest.mark.parametrize(
    ("parity", "antialias", "mean", "deviation"),
    [
        (parity, antialias, mean, (2.0, 3.0, 4.0) if mean else None)
        for parity, antialias, mean in product(PARITIES, [False, True], STANDARDS)
    ],
)
def test_every_kind_of_settings_gives_its_images_whatever_the_batch(
    full: dict[str, Tensor],
    traces: Floats,
    monkeypatch: pytest.MonkeyPatch,
    parity: str,
    antialias: bool,
    mean: Channels | None,
    deviation: Channels | None,
) -> None:
    settings = ImageSettings(
        height=60, width=70, antialias=antialias, parity=parity, mean=mean, deviation=deviation
    )
    assert from_dict(ImageSettings, to_dict(settings)) == settings
    rows = range(len(traces))
    bank = bank_of(traces, settings)
    whole = bank.images(rows)
    scale = float(full[parity].abs().max())
    assert furthest(whole[:2], resized(full[parity], settings)) < TOLERANCE * scale
    alone = torch.cat([bank.images([row]) for row in rows])
    assert torch.equal(alone, whole)
    # Several cells at a time, as on a GPU.
    source = TraceSource(traces, settings.plain)
    monkeypatch.setattr(module, "PIECE_BYTES", {"cpu": 4 * source._operator.bytes_a_trace})
    assert [len(piece) for piece in source.channels(rows)] == [2, 2, 1]
    assert furthest(bank.images(rows), whole) < ROUNDING * scale


def test_the_third_channel_repeats_the_rheobase_sweep(traces: Floats) -> None:
    images = images_of(traces, ImageSettings(height=32, width=32))
    assert torch.equal(images[:, 2], images[:, 0])
    assert not torch.equal(images[:, 1], images[:, 0])
    swapped = images_of(traces[:, ::-1], ImageSettings(height=32, width=32))
    assert furthest(swapped[:, 1], images[:, 0]) < ROUNDING * float(images.abs().max())


def test_each_channel_is_standardised_by_its_own_numbers(traces: Floats) -> None:
    raw = images_of(traces, ImageSettings(height=20, width=20))
    settings = ImageSettings(height=20, width=20, mean=(1, 2, 3), deviation=(4, 5, 6))
    ours = images_of(traces, settings)
    for channel, (mean, deviation) in enumerate([(1, 4), (2, 5), (3, 6)]):
        torch.testing.assert_close(ours[:, channel], (raw[:, channel] - mean) / deviation)


def test_a_constant_is_dark_and_a_resting_potential_does_not_show(traces: Floats) -> None:
    # Kernels that end at 5.5 scales sum to 1e-6 of their weight, and the baseline is float32.
    dark = images_of(np.full((1, 2, SAMPLES), -70.0), ImageSettings())
    assert float(dark.abs().max()) < 1e-4
    here, there = (images_of(each, ImageSettings()) for each in (traces, traces - 14))
    # float32 keeps fewer digits of larger voltages.
    assert furthest(here, there) < 1e-5 * float(here.abs().max())


def test_traces_stay_as_they_are(traces: Floats) -> None:
    cells = traces.copy()
    images_of(cells, ImageSettings(height=16, width=16))
    assert np.array_equal(cells, traces)


def test_images_are_float32_and_need_no_gradient(traces: Floats) -> None:
    images = images_of(traces.astype(np.float64), ImageSettings(height=16, width=16))
    assert images.dtype == torch.float32
    assert not images.requires_grad
    # A saliency map asks for the gradient with respect to an image.
    assert not images.is_inference()


def test_mixed_precision_around_it_does_not_blur_it(traces: Floats) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = images_of(traces, ImageSettings())
    assert torch.equal(inside, images_of(traces, ImageSettings()))


@pytest.mark.parametrize(("width", "runs"), [(224, 7), (240, 1), (244, 6), (299, 17)])
def test_columns_are_cut_out_in_few_runs(width: int, runs: int) -> None:
    """Each run is a call: one a column would take longer than all products together."""
    nothing = np.empty((0, 2, SAMPLES))
    operator = TraceSource(nothing, ImageSettings(height=8, width=width))._operator
    assert len(operator._runs) == runs
    columns = np.concatenate([np.arange(width)[run.columns] for run in operator._runs])
    assert sorted(columns) == list(range(width))


def test_an_empty_batch_gives_an_empty_batch() -> None:
    images = images_of(np.empty((0, 2, SAMPLES)), ImageSettings(height=5, width=6))
    assert images.shape == (0, 3, 5, 6)


class _Largest(TorchDispatchMode):
    """Notes the largest storage that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.seen = max(self.seen, result.untyped_storage().nbytes())
        return result


@contextmanager
def largest_storage() -> Iterator[_Largest]:
    with _Largest() as noted:
        yield noted


@pytest.mark.parametrize("parity", PARITIES)
def test_memory_stays_bounded_whatever_the_batch(traces: Floats, parity: str) -> None:
    cells = np.concatenate([traces] * 10)
    bank = bank_of(cells, ImageSettings(height=8, width=224, parity=parity))
    # What comes in and what goes out grow with the batch: 2 MB and 1 MB here. Windows of all of it
    # at once would be 50 MB.
    with largest_storage() as noted:
        bank.images(range(len(cells)))
    assert 2**20 < noted.seen <= 2**21


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": 0}, "height must be at least 1 and at most 8192, not 0"),
        ({"width": -3}, "width must be at least 1 and at most 8192, not -3"),
        ({"parity": "pwt"}, "unknown parity 'pwt': did you mean 'pywt'"),
        ({"mean": (0.0, 0.0, 0.0)}, "mean and deviation go together"),
        ({"deviation": (1.0, 1.0, 1.0)}, "mean and deviation go together"),
        ({"mean": (0.0, 0.0), "deviation": (1.0, 1.0)}, "mean and deviation are 3 numbers"),
        (
            {"mean": (0.0, float("nan"), 0.0), "deviation": (1.0, 1.0, 1.0)},
            "mean must be at least",
        ),
        (
            {"mean": (0.0, 0.0, 0.0), "deviation": (1.0, 0.0, 1.0)},
            "deviation must be at least 1e-09",
        ),
        ({"height": 8193}, "height must be at least 1 and at most 8192"),
        ({"height": 2000, "width": 2000}, "2000 x 2000 pixels is too large"),
    ],
)
def test_settings_are_checked_where_they_are_made(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(StsError, match=message):
        ImageSettings(**wrong)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 2, 4800\), not \(2, 4800\)"):
        TraceSource(np.zeros((2, SAMPLES)), ImageSettings(height=8, width=8))


@pytest.mark.cuda
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("parity", PARITIES)
def test_cuda_gives_what_the_cpu_gives(
    cuda: torch.device, traces: Floats, parity: str, antialias: bool
) -> None:
    settings = ImageSettings(antialias=antialias, parity=parity)
    rows = range(len(traces))
    here = images_of(traces, settings)
    there = bank_of(traces, settings, cuda).images(rows).cpu()
    # float32 sums in another order, of numbers up to 1e3 times their result.
    assert furthest(there, here) < 1e-5 * float(here.abs().max())
