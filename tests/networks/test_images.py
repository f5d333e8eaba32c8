"""Images for a network, kept or made for the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.cells.store import SweepStore
from sts.networks.images import ImageBank
from sts.networks.schedule import in_order
from sts.scalograms.image import Imager, ImageSettings
from sts.scalograms.sources import TraceSource, measure_statistics

SETTINGS = ImageSettings(height=32, width=40)


@pytest.fixture(scope="module")
def kept(store: SweepStore) -> ImageBank:
    return ImageBank(store, SETTINGS)


@pytest.fixture(scope="module")
def made(store: SweepStore) -> ImageBank:
    return ImageBank(store, SETTINGS, budget_bytes=0)


def test_images_are_those_of_the_imager(kept: ImageBank, store: SweepStore) -> None:
    rows = np.array([3, 1])
    wanted = Imager(SETTINGS)(torch.from_numpy(store.traces[rows]))
    # Batches of other sizes are summed in another order by the matrix product.
    torch.testing.assert_close(kept.images(rows), wanted, rtol=1e-4, atol=1e-3)


def test_kept_images_equal_those_made_for_the_batch(kept: ImageBank, made: ImageBank) -> None:
    batches = in_order(np.array([5, 0, 7, 2, 30]), 2)
    statistics = kept.standardised(np.arange(10)).settings
    pairs = zip(
        kept.like(statistics).batches(batches), made.like(statistics).batches(batches), strict=True
    )
    for at, (one, other) in enumerate(pairs):
        assert len(one) == len(batches[at])
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_images_are_computed_once_where_they_fit(
    store: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = TraceSource.images

    def counted(self: TraceSource, rows: np.ndarray) -> torch.Tensor:
        seen.extend(np.asarray(rows).tolist())
        return original(self, rows)

    monkeypatch.setattr(TraceSource, "images", counted)
    bank = ImageBank(store, SETTINGS)
    for _ in range(2):
        bank.standardised(np.arange(8)).images([0, 1])
    assert seen == list(range(len(store)))
    seen.clear()
    ImageBank(store, SETTINGS, budget_bytes=0).images([4, 2])
    assert seen == [4, 2]


def test_standardised_rows_have_mean_0_and_deviation_1(kept: ImageBank) -> None:
    rows = np.array([0, 5, 6, 11])
    images = kept.standardised(rows).images(rows).double()
    # float32 pixels, 5,120 a channel.
    torch.testing.assert_close(
        images.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0
    )
    deviation = images.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(3).double(), atol=1e-5, rtol=0)


def test_statistics_are_those_measured_on_all_pixels_at_once(
    kept: ImageBank, store: SweepStore
) -> None:
    rows = np.arange(7, 19)
    wanted = measure_statistics(TraceSource(store.traces, SETTINGS), rows)
    came = kept.standardised(rows).settings
    # float64 sums of the same float32 pixels; the mean is near 0 against a deviation of tens.
    assert came.deviation == pytest.approx(wanted.deviation, rel=1e-6)
    assert came.mean == pytest.approx(wanted.mean, abs=1e-6 * max(wanted.deviation))


def test_other_rows_do_not_move_the_statistics(store: SweepStore) -> None:
    loud = replace(store, traces=store.traces.copy())
    loud.traces[20:] *= 5
    rows = np.arange(20)
    one = ImageBank(store, SETTINGS, budget_bytes=0).standardised(rows).settings
    assert ImageBank(loud, SETTINGS, budget_bytes=0).standardised(rows).settings == one


def test_a_bank_of_stored_settings_makes_the_images_its_model_saw(
    kept: ImageBank, store: SweepStore
) -> None:
    trained = kept.standardised(np.arange(6))
    again = ImageBank(store, trained.settings)
    assert torch.equal(again.images([9, 8]), trained.images([9, 8]))


def test_settings_of_other_images_are_refused(kept: ImageBank, store: SweepStore) -> None:
    with pytest.raises(ValueError, match="images are made by"):
        kept.like(ImageSettings(height=32, width=32))
    with pytest.raises(ValueError, match="a source makes images of the bank's settings"):
        ImageBank(TraceSource(store.traces, SETTINGS), ImageSettings())


def test_rows_that_are_not_there_are_refused(kept: ImageBank) -> None:
    for rows in ([-1], [64]):
        with pytest.raises(ValueError, match=r"rows must lie in 0\.\.63"):
            kept.images(rows)
    with pytest.raises(StsError, match="no rows to measure"):
        kept.standardised([])


@pytest.mark.cuda
def test_images_on_cuda_are_those_on_the_cpu(kept: ImageBank, store: SweepStore) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rows = np.arange(12)
    settings = kept.standardised(rows).settings
    on_cuda = ImageBank(store, settings, "cuda")
    came = torch.cat(list(on_cuda.batches(in_order(rows, 5)))).cpu()
    # float32 products of another order; standardised images have a deviation of 1.
    torch.testing.assert_close(came, kept.like(settings).images(rows), rtol=1e-3, atol=1e-3)
