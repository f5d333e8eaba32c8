"""Images, kept or made for the batch."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.datasets.store import SweepStore
from sts.networks.settings import cut_batches
from sts.scalograms import bank as module
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings, RowNumbers, TraceSource
from tests.networks.worlds import make_world

SETTINGS = ImageSettings(height=32, width=40)


@pytest.fixture(scope="module")
def store() -> SweepStore:
    return make_world(64)


@pytest.fixture(scope="module")
def kept(store: SweepStore) -> ImageBank:
    return ImageBank(store, SETTINGS)


@pytest.fixture(scope="module")
def made(store: SweepStore) -> ImageBank:
    return ImageBank(store, SETTINGS, budget_bytes=0)


def test_images_are_the_same_to_the_last_bit_however_many_are_kept(
    kept: ImageBank, made: ImageBank, store: SweepStore
) -> None:
    """How much memory is free must not show in a report."""
    batches = cut_batches(np.array([5, 0, 7, 2, 30]), 2)
    statistics = kept.standardise(np.arange(10)).settings
    some = ImageBank(store, SETTINGS, budget_bytes=6 * 4 * 2 * 32 * 40)
    assert made.standardise(np.arange(10)).settings == statistics
    assert some.standardise(np.arange(10)).settings == statistics
    banks = [bank.like(statistics).batches(batches) for bank in (kept, made, some)]
    for batch, images, *others in zip(batches, *banks, strict=True):
        assert len(images) == len(batch)
        for other in others:
            assert torch.equal(images, other)


def test_colours_lie_next_to_each_other_in_memory(kept: ImageBank, made: ImageBank) -> None:
    for bank in (kept, made):
        for images in (bank.images([0, 1]), bank.dark(), *bank.batches([np.arange(3)])):
            assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_on_the_cpu_is_written_over_the_one_before(kept: ImageBank) -> None:
    batches = kept.batches(cut_batches(np.arange(8), 3))
    first = next(batches)
    before = first.clone()
    second = next(batches)
    assert second.data_ptr() == first.data_ptr()
    assert not torch.equal(first, before)
    assert [len(batch) for batch in batches] == [2]


def test_no_batches_of_no_rows(kept: ImageBank) -> None:
    assert list(kept.batches([])) == []
    assert kept.images([]).shape == (0, 3, 32, 40)


@pytest.mark.parametrize(("budget_cells", "computed"), [(64, []), (3, [4, 3]), (0, [4, 2, 2, 3])])
def test_images_are_computed_once_where_they_fit(
    store: SweepStore, monkeypatch: pytest.MonkeyPatch, budget_cells: int, computed: list[int]
) -> None:
    seen: list[int] = []
    original = TraceSource.channels

    def counted(self: TraceSource, rows: RowNumbers) -> Iterator[torch.Tensor]:
        seen.extend(np.asarray(rows).tolist())
        return original(self, rows)

    monkeypatch.setattr(TraceSource, "channels", counted)
    bank = ImageBank(store, SETTINGS, budget_bytes=budget_cells * 4 * 2 * 32 * 40)
    bank.images([0])
    assert seen == list(range(budget_cells)) + [0] * (budget_cells == 0)
    seen.clear()
    bank.images([4, 2, 2, 3])
    assert seen == computed
    seen.clear()
    for _ in range(2):
        bank.standardise(np.arange(8))
    assert seen == list(range(budget_cells, len(store)))


def test_a_quarter_of_free_memory_is_kept_on_a_cpu(
    store: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = 4 * 2 * 32 * 40
    monkeypatch.setattr(module, "free_memory_bytes", lambda: 4 * 5 * one)
    bank = ImageBank(store, SETTINGS)
    bank.images([0])
    assert bank._raw._kept is not None
    assert len(bank._raw._kept) == 5


def test_all_published_cells_at_224_pixels_are_kept_where_10_gb_are_free() -> None:
    assert module.KEPT_PART["cpu"] * 10e9 >= 5590 * 4 * 2 * 224 * 224


def test_standardised_rows_have_mean_0_and_deviation_1(kept: ImageBank) -> None:
    rows = np.array([0, 5, 6, 11])
    images = kept.standardise(rows).images(rows).double()
    # float32 pixels, 5,120 a channel.
    torch.testing.assert_close(
        images.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0
    )
    deviation = images.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(3).double(), atol=1e-5, rtol=0)


def test_statistics_are_those_measured_on_all_pixels_at_once(
    kept: ImageBank,
) -> None:
    rows = np.arange(7, 19)
    images = kept.images(rows).double()
    came = kept.standardise(rows).settings
    deviation = images.std(dim=(0, 2, 3), correction=0).tolist()
    # float64 sums of the same float32 pixels; the mean is near 0 against a deviation of tens.
    assert came.deviation == pytest.approx(deviation, rel=1e-6)
    mean = images.mean(dim=(0, 2, 3)).tolist()
    assert came.mean == pytest.approx(mean, abs=1e-6 * max(deviation))


def test_other_rows_do_not_move_the_statistics(store: SweepStore) -> None:
    loud = replace(store, traces=store.traces.copy())
    loud.traces[20:] *= 5
    rows = np.arange(20)
    one = ImageBank(store, SETTINGS, budget_bytes=0).standardise(rows).settings
    assert ImageBank(loud, SETTINGS, budget_bytes=0).standardise(rows).settings == one


def test_a_bank_of_stored_settings_makes_the_images_its_model_saw(
    kept: ImageBank, store: SweepStore
) -> None:
    trained = kept.standardise(np.arange(6))
    again = ImageBank(store, trained.settings)
    assert torch.equal(again.images([9, 8]), trained.images([9, 8]))


def test_an_image_of_one_sweep_shows_the_rheobase_sweep_in_all_colours(
    kept: ImageBank, store: SweepStore
) -> None:
    rows = np.arange(6)
    alone = replace(SETTINGS, one_sweep=True)
    other = replace(store, traces=store.traces.copy())
    other.traces[:, 1] = -70
    bank = ImageBank(other, alone).standardise(rows)
    both = kept.standardise(rows)
    for colour in range(3):
        assert torch.equal(bank.images(rows)[:, colour], both.images(rows)[:, 0])
    with pytest.raises(ValueError, match="the images have"):
        kept.like(alone)


def test_settings_of_other_images_are_refused(kept: ImageBank, store: SweepStore) -> None:
    with pytest.raises(ValueError, match="the images have"):
        kept.like(ImageSettings(height=32, width=32))
    with pytest.raises(ValueError, match="a source needs the settings of the bank"):
        ImageBank(TraceSource(store.traces, SETTINGS), ImageSettings())


def test_rows_that_are_not_there_are_refused(kept: ImageBank) -> None:
    for rows in ([-1], [64]):
        with pytest.raises(ValueError, match=r"rows must lie in 0\.\.63"):
            kept.images(rows)
    with pytest.raises(StsError, match="no rows to measure"):
        kept.standardise([])


@pytest.mark.cuda
def test_images_on_cuda_are_those_on_the_cpu(kept: ImageBank, store: SweepStore) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rows = np.arange(12)
    settings = kept.standardise(rows).settings
    on_cuda = ImageBank(store, settings, "cuda")
    came = torch.cat([batch.cpu() for batch in on_cuda.batches(cut_batches(rows, 5))])
    # float32 products of another order; standardised images have a deviation of 1.
    torch.testing.assert_close(came, kept.like(settings).images(rows), rtol=1e-3, atol=1e-3)
    # A small part of its memory holds them all; more than that part holds none.
    assert on_cuda._raw._kept is not None
    assert len(on_cuda._raw._kept) == len(store)
    small = ImageBank(store, settings, "cuda", budget_bytes=4 * 2 * 32 * 40)
    torch.testing.assert_close(small.images(rows), on_cuda.images(rows), rtol=1e-3, atol=1e-3)
    assert small._raw._kept is not None
    assert len(small._raw._kept) == 0
