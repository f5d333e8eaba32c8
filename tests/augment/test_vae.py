"""The bound of the autoencoder is one, and training raises it."""

import math

import numpy as np
import pytest
import torch

from sts.augment.deep import Batch, LossTrainer, train_network
from sts.augment.settings import LayerSettings, LoopSettings, VaeSettings
from sts.augment.vae import VaeNetwork, schedule_beta
from sts.learning.device import draw_from_seed

SETTINGS = VaeSettings(layers=LayerSettings(width=32), latent=2)


def network() -> VaeNetwork:
    with draw_from_seed(1, torch.device("cpu")):
        return VaeNetwork(4, 2, SETTINGS)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def on_a_line(count: int) -> Batch:
    """Return rows that one number of each explains but for a little noise."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((count, 1)) + 0.2 * rng.standard_normal((count, 4))
    return Batch(
        scores=torch.from_numpy(rows).float(), classes=torch.zeros(count, dtype=torch.int64)
    )


def test_before_training_the_bound_is_the_likelihood_of_plain_noise() -> None:
    batch = on_a_line(50)
    plain = -(batch.scores.square().sum(dim=1) + 4 * math.log(2 * math.pi)) / 2
    torch.testing.assert_close(network().bound(batch, generator()), plain)


def test_the_divergence_is_that_of_two_normal_laws() -> None:
    net, batch = network(), on_a_line(50)
    with torch.no_grad():
        net.encoder.last.bias.copy_(torch.tensor([0.5, -1.0, 0.3, -0.7]))
    bounds = [net.bound(batch, generator(), beta=beta) for beta in (0.0, 1.0)]
    code = torch.distributions.Normal(
        torch.tensor([0.5, -1.0]), torch.tensor([0.3, -0.7]).div(2).exp()
    )
    standard = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    wanted = torch.distributions.kl_divergence(code, standard).sum().expand(50)
    torch.testing.assert_close(bounds[0] - bounds[1], wanted, atol=1e-5, rtol=1e-5)


def test_training_raises_the_bound_of_held_out_rows_but_not_above_their_likelihood() -> None:
    net, batch = network(), on_a_line(600)
    loop = LoopSettings(steps=400, learning_rate=3e-3, held_out=0.2, check_every=100)
    rng = np.random.default_rng(4)
    rows, classes = batch.scores.double().numpy(), batch.classes.numpy()
    with torch.no_grad():
        before = float(net.bound(batch, generator()).mean())
    done = train_network(net, LossTrainer(net, loop), rows, classes, loop=loop, rng=rng)
    bounds = [-4 * check.score for check in done.records]
    truth = torch.distributions.MultivariateNormal(
        torch.zeros(4), torch.ones(4, 4) + 0.04 * torch.eye(4)
    )
    likelihood = float(truth.log_prob(batch.scores).mean())
    assert before < bounds[0] < bounds[-1]
    # 120 held-out rows: their likelihood is within .3 of that of all.
    assert bounds[-1] < likelihood + 0.3
    # Plain noise leaves 3 more to be had.
    assert bounds[-1] > likelihood - 1.0


def test_the_decoder_learns_how_sure_it_may_be() -> None:
    net, batch = network(), on_a_line(600)
    loop = LoopSettings(steps=400, learning_rate=3e-3, held_out=0.0)
    rows, classes = batch.scores.double().numpy(), batch.classes.numpy()
    train_network(
        net, LossTrainer(net, loop), rows, classes, loop=loop, rng=np.random.default_rng(4)
    )
    with torch.no_grad():
        drawn = net.draw(torch.zeros(4000, dtype=torch.int64), generator())
    off = drawn - drawn.mean(dim=1, keepdim=True)
    # The noise about the line has a deviation of .2, of which the mean of four takes a quarter.
    assert float(off.std()) == pytest.approx(0.2 * math.sqrt(3 / 4), rel=0.3)
    assert float(drawn.mean(dim=1).std()) == pytest.approx(1.0, abs=0.15)


def test_beta_rises_and_then_stays() -> None:
    settings = VaeSettings(beta=0.5, warm_up=0.2)
    assert [schedule_beta(done, settings) for done in (0.0, 0.1, 0.2, 1.0)] == [0.0, 0.25, 0.5, 0.5]
    assert schedule_beta(0.0, VaeSettings(warm_up=0.0)) == 1.0
