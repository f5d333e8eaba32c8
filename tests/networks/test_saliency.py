"""Maps of what a network looks at, and where in numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from sts.base.types import Ints
from sts.datasets.store import SweepStore
from sts.networks.backbones import PUBLISHED_NUMBERS, Architecture, make_network
from sts.networks.predict import run_network
from sts.networks.saliency import (
    SALIENCY_METHODS,
    average_classes,
    correlate_ranks,
    correlate_with_random,
    gradient,
    integrated_gradients,
    measure_attention,
    measure_attention_by_class,
    normalise_maps,
)
from sts.networks.train import Fitted
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import ImageSettings
from tests.networks.conftest import UNSEEN


class Linear(nn.Module):
    """Class c's logit is a weighted sum of the image."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nchw,kchw->nk", images, self.weights)


@pytest.fixture(scope="module")
def seen(fitted: Fitted, bank: ImageBank) -> ImageBank:
    return bank.like(fitted.images)


@pytest.fixture(scope="module")
def targets(fitted: Fitted, seen: ImageBank) -> Ints:
    return np.asarray(run_network(fitted.network, seen, UNSEEN).logits.argmax(axis=1))


def test_a_linear_network_shows_its_weights(store: SweepStore) -> None:
    bank = ImageBank(store, ImageSettings(height=8, width=8)).standardise(np.arange(8))
    weights = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rows, targets = np.array([3, 9, 20]), np.array([2, 0, 3])
    network = Linear(weights)
    deviation = bank.settings.deviation
    assert deviation is not None
    found = gradient(network, bank, rows, targets)
    chosen = weights[targets].numpy()
    first = (chosen[:, 0] + chosen[:, 2]) / deviation[0]
    np.testing.assert_allclose(found[:, 0], first, rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], chosen[:, 1] / deviation[1], rtol=1e-5)
    # What a linear network adds up is slope times coefficient, exactly.
    raw = bank.like(ImageSettings(height=8, width=8)).images(rows)[:, :2].numpy()
    added = integrated_gradients(network, bank, rows, targets, steps=2)
    np.testing.assert_allclose(added, found * raw, rtol=1e-3, atol=1e-3)


def test_all_that_a_network_of_one_sweep_looks_at_is_in_the_map_of_that_sweep(
    store: SweepStore,
) -> None:
    bank = ImageBank(store, ImageSettings(height=8, width=8, one_sweep=True))
    weights = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = gradient(Linear(weights), bank, [3], np.array([2]))
    np.testing.assert_allclose(found[0, 0], weights[2].sum(dim=0).numpy(), rtol=1e-5)
    assert not found[0, 1].any()


def test_contributions_add_up_to_the_difference_from_the_dark(
    fitted: Fitted, seen: ImageBank, targets: Ints
) -> None:
    rows = UNSEEN[:6]
    maps = integrated_gradients(fitted.network, seen, rows, targets[:6], steps=64)
    with torch.no_grad():
        dark = fitted.network(seen.dark()).numpy()[0]
    found = run_network(fitted.network, seen, rows).logits
    wanted = found[np.arange(6), targets[:6]] - dark[targets[:6]]
    # The midpoint rule over a network of kinks: a few percent at 64 steps.
    np.testing.assert_allclose(maps.sum(axis=(1, 2, 3)), wanted, atol=0.1 * np.abs(wanted).max())


@pytest.mark.parametrize("number", PUBLISHED_NUMBERS)
def test_every_network_can_be_explained(number: int, store: SweepStore) -> None:
    architecture = Architecture(number=number, weights="none")
    height, width = architecture.backbone.smallest
    bank = ImageBank(store, architecture.images((height, width))).standardise(np.arange(8))
    network = make_network(architecture)
    for method in SALIENCY_METHODS.values():
        maps = method(network, bank, [4, 1], np.array([0, 3]))
        assert maps.shape == (2, 2, height, width)
        assert np.isfinite(maps).all()
        assert np.abs(maps).max(axis=(1, 2, 3)).min() > 0
    assert all(value.grad is None for value in network.parameters())


def test_a_cell_is_explained_the_same_in_any_company(fitted: Fitted, seen: ImageBank) -> None:
    targets = np.arange(len(UNSEEN)) // 6 % 4
    # In the second batch, and of another class than the cell at its place in the first.
    assert targets[20] != targets[4]
    together = gradient(fitted.network, seen, UNSEEN, targets)
    alone = gradient(fitted.network, seen, UNSEEN[20:21], targets[20:21])
    # float32 sums in another order.
    np.testing.assert_allclose(alone[0], together[20], atol=1e-4 * np.abs(together[20]).max())


def test_random_weights_give_another_map(fitted: Fitted, seen: ImageBank, targets: Ints) -> None:
    maps = {"gradient": gradient(fitted.network, seen, UNSEEN, targets)}
    found = correlate_with_random(fitted.architecture, seen, UNSEEN, targets, maps)
    assert found.keys() == maps.keys()
    assert found["gradient"] < 0.5
    assert correlate_ranks(maps["gradient"], -maps["gradient"]) == pytest.approx(1)


def test_shares_sum_to_one_in_every_cell() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 2, 5, 7))
    maps[2] = 0
    assert normalise_maps(maps).sum(axis=(1, 2, 3)) == pytest.approx([1, 1, 0])


def test_a_loud_cell_counts_no_more_in_a_class_than_a_quiet_one() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 2, 5, 7))
    classes = np.array([0, 0, 2, 2])
    one = average_classes(maps, classes, 4)
    maps[0] *= -100
    assert one.keys() == {0, 2}
    np.testing.assert_allclose(average_classes(maps, classes, 4)[0], one[0])


@pytest.mark.parametrize("width", [12, 120, 112, 224])
def test_attention_lies_where_a_map_is_bright(width: int) -> None:
    maps = np.zeros((2, 2, 36, width))
    # The columns of the first 100 ms of the stimulus, the rows of 20 to 40 Hz, second sweep.
    time_s = (np.arange(width) + 0.5) / width * 1.2 - 0.1
    maps[:, 1, :4, (time_s > 0) & (time_s < 0.1)] = -3.0
    found = measure_attention(maps)
    assert found.cells == 2
    assert found.sweeps == {"rheobase sweep": 0.0, "second sweep": pytest.approx(1)}
    # A pixel on the border belongs to both sides.
    assert found.times["first 100 ms"] == pytest.approx(1, abs=0.8 / (width / 12))
    assert found.bands["20-40 Hz"] == pytest.approx(1, abs=1e-9)
    for values in (found.times, found.bands, found.even_times, found.even_bands):
        assert sum(values.values()) == pytest.approx(1)


def test_an_even_map_has_the_shares_of_time_and_frequency() -> None:
    found = measure_attention(np.ones((1, 2, 50, 70)))
    assert found.times == pytest.approx(found.even_times)
    assert found.bands == pytest.approx(found.even_bands)
    assert found.times["during"] == pytest.approx(0.8 / 1.2)
    assert found.bands["80-140 Hz"] == pytest.approx(60 / 180)


def test_attention_is_told_for_every_class_that_has_cells() -> None:
    maps = np.ones((3, 2, 4, 4))
    found = measure_attention_by_class(maps, np.array([0, 2, 2]), ("a", "b", "c"))
    assert {name: part.cells for name, part in found.items()} == {"a": 1, "c": 2}


def test_a_target_is_needed_for_every_cell(fitted: Fitted, seen: ImageBank) -> None:
    with pytest.raises(ValueError, match="2 cells and 1 targets"):
        gradient(fitted.network, seen, [0, 1], np.array([1]))
