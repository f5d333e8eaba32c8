"""TraceNet, the network of sweeps themselves."""

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.base.types import Ints
from sts.datasets.store import SweepStore
from sts.networks.backbones import Architecture, make_network
from sts.networks.predict import predict
from sts.networks.saliency import gradient
from sts.networks.settings import TrainSettings
from sts.networks.train import Fitted, fit
from sts.scalograms.bank import ImageBank
from sts.signals.resample import SAMPLES
from tests.networks.conftest import SEEN, UNSEEN
from tests.networks.worlds import same_state

TRACE = Architecture(number=5, weights="none")


@pytest.fixture(scope="module")
def sweeps(store: SweepStore) -> ImageBank:
    return ImageBank(store, TRACE.images())


@pytest.fixture(scope="module")
def learnt(sweeps: ImageBank, labels: Ints) -> Fitted:
    settings = TrainSettings(batch=8, epochs=6, schedule="one_cycle", learning_rate=3e-3)
    return fit(TRACE, sweeps, labels, train_rows=SEEN, settings=settings)


def test_it_has_at_most_a_million_parameters() -> None:
    assert sum(value.numel() for value in make_network(TRACE).parameters()) <= 1_000_000


def test_it_learns_to_tell_classes_of_cells_it_has_not_seen(
    learnt: Fitted, sweeps: ImageBank, labels: Ints
) -> None:
    found = predict(learnt.network, sweeps.like(learnt.images), UNSEEN).argmax(axis=1)
    # Chance gives 6 of 24, and 16 or more once in 40,000 times.
    assert (found == labels[UNSEEN]).sum() >= 16


def test_an_image_of_sweeps_is_the_voltage_from_the_level_before_the_stimulus(
    sweeps: ImageBank, store: SweepStore
) -> None:
    image = sweeps.images([3])[0, :, 0].numpy()
    wanted = store.traces[3] - store.traces[3][:, :400].mean(axis=1, keepdims=True)
    # float32 means of 400 samples near -70 mV.
    np.testing.assert_allclose(image[:2], wanted, atol=1e-4)
    np.testing.assert_array_equal(image[2], image[0])


def test_an_offset_of_the_electrode_changes_nothing(sweeps: ImageBank, store: SweepStore) -> None:
    shifted = ImageBank(store.rows(np.arange(2)), TRACE.images())
    moved = ImageBank(
        type(store)(**{**vars(store.rows(np.arange(2))), "traces": store.traces[:2] + 12}),
        TRACE.images(),
    )
    torch.testing.assert_close(moved.images([0, 1]), shifted.images([0, 1]), rtol=0, atol=1e-4)


def test_the_order_of_sweeps_matters_and_the_third_channel_does_not(learnt: Fitted) -> None:
    images = torch.randn(2, 3, 1, SAMPLES, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = learnt.network(images)
        other = images.clone()
        other[:, 2] = 0
        assert torch.equal(learnt.network(other), logits)
        assert not torch.allclose(learnt.network(images[:, [1, 0, 2]]), logits)


def test_every_sample_can_be_explained(learnt: Fitted, sweeps: ImageBank, labels: Ints) -> None:
    rows = np.arange(2)
    maps = gradient(learnt.network, sweeps.like(learnt.images), rows, labels[rows])
    assert maps.shape == (2, 2, 1, SAMPLES)
    assert np.abs(maps).max(axis=(2, 3)).min() > 0


def test_it_takes_no_size_and_no_imagenet_weights() -> None:
    with pytest.raises(StsError, match="leave out --image-size"):
        TRACE.images(224)
    with pytest.raises(StsError, match="no ImageNet weights of TraceNet"):
        make_network(Architecture(number=5))


def test_a_seed_gives_the_same_weights() -> None:
    assert same_state(make_network(TRACE, seed=3), make_network(TRACE, seed=3))
