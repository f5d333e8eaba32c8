"""The flow is its own inverse's inverse, counts volume rightly, and is fully autoregressive."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sts.augment.deep import Batch
from sts.augment.flow import FlowNetwork
from sts.augment.settings import FlowSettings
from sts.learning.device import draw_from_seed

FEATURES, CLASSES = 9, 3


def random_flow(transforms: int = 3) -> FlowNetwork:
    """Return a flow that does something, unlike a new one."""
    settings = FlowSettings(transforms=transforms, width=32)
    with draw_from_seed(1, torch.device("cpu")):
        flow = FlowNetwork(FEATURES, CLASSES, settings)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter += 0.2 * torch.randn(parameter.shape)
    return flow.eval()


def rows(count: int = 16) -> Batch:
    rng = np.random.default_rng(2)
    return Batch(
        scores=torch.from_numpy(rng.standard_normal((count, FEATURES))).float(),
        classes=torch.from_numpy(rng.integers(CLASSES, size=count)),
    )


def to_noise(flow: FlowNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the noise of rows, and the logarithm of the change of volume, (B,)."""
    noise, volumes = flow.distribution(batch.classes).transform.call_and_ladj(batch.scores)
    return noise, volumes


def jacobian(flow: FlowNetwork, batch: Batch, row: int) -> Tensor:
    def noise(values: Tensor) -> Tensor:
        one = Batch(scores=values[None], classes=batch.classes[row : row + 1])
        return to_noise(flow, one)[0][0]

    return torch.autograd.functional.jacobian(noise, batch.scores[row])


@torch.no_grad()
def test_noise_turned_into_rows_turns_back() -> None:
    flow, batch = random_flow(), rows()
    noise, _ = to_noise(flow, batch)
    assert float((noise - batch.scores).abs().mean()) > 0.1
    # Float32 through three transformations and nine passes each.
    assert float((flow.to_scores(noise, batch.classes) - batch.scores).abs().max()) < 1e-4


def test_the_change_of_volume_is_the_determinant_of_all_slopes() -> None:
    flow, batch = random_flow(), rows()
    _, volumes = to_noise(flow, batch)
    for row in range(4):
        _, wanted = torch.linalg.slogdet(jacobian(flow, batch, row).double())
        assert volumes[row].item() == pytest.approx(wanted.item(), abs=1e-4)


def test_the_likelihood_is_that_of_the_noise_times_the_change_of_volume() -> None:
    flow, batch = random_flow(), rows()
    noise, volumes = to_noise(flow, batch)
    wanted = -(noise.square().sum(dim=1) + FEATURES * math.log(2 * math.pi)) / 2 + volumes
    # Float32 sums of nine squares.
    torch.testing.assert_close(flow.log_likelihood(batch), wanted, atol=1e-4, rtol=1e-5)


def test_each_feature_depends_on_all_before_it_and_on_none_behind_it() -> None:
    slopes = jacobian(random_flow(transforms=1), rows(), 0)
    above = torch.triu(slopes, diagonal=1)
    below = slopes[torch.tril_indices(FEATURES, FEATURES, offset=-1).unbind()]
    assert float(above.abs().max()) == 0.0
    # A coupling flow has a quarter of these at most: features of one half do not see each other.
    assert (below != 0.0).all()


def test_a_new_flow_changes_nothing() -> None:
    with draw_from_seed(1, torch.device("cpu")):
        flow = FlowNetwork(FEATURES, CLASSES, FlowSettings())
    noise, volumes = to_noise(flow, rows())
    assert torch.equal(noise, rows().scores)
    assert not volumes.any()
