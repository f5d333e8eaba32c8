"""Probabilities and features."""

import numpy as np
import pytest
import torch

from sts.networks.backbones import find_head
from sts.networks.predict import (
    PREDICTION_BATCH,
    compute_feature_bank,
    evaluation_mode,
    predict,
    run_network,
)
from sts.networks.train import Fitted
from sts.scalograms.bank import ImageBank


@pytest.fixture(scope="module")
def seen(fitted: Fitted, bank: ImageBank) -> ImageBank:
    return bank.like(fitted.images)


def test_probabilities_sum_to_one_in_the_order_of_rows(fitted: Fitted, seen: ImageBank) -> None:
    found = predict(fitted.network, seen, np.array([9, 2, 5]))
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    turned = predict(fitted.network, seen, np.array([5, 9, 2]))
    # A batch of the same size: each image's sums are the same, wherever it stands.
    np.testing.assert_allclose(turned, found[[2, 0, 1]], rtol=1e-5)


def test_a_cell_does_not_depend_on_its_company(fitted: Fitted, seen: ImageBank) -> None:
    together = run_network(fitted.network, seen, np.arange(40)).logits
    alone = np.concatenate([run_network(fitted.network, seen, [row]).logits for row in range(3)])
    # float32 sums in another order.
    np.testing.assert_allclose(alone, together[:3], atol=1e-4)


def test_temperature_flattens_and_never_turns_a_verdict(fitted: Fitted, seen: ImageBank) -> None:
    rows = np.arange(12)
    sharp, flat = (predict(fitted.network, seen, rows, temperature=t) for t in (1.0, 4.0))
    assert (sharp.argmax(axis=1) == flat.argmax(axis=1)).all()
    assert (flat.max(axis=1) < sharp.max(axis=1)).all()
    even = predict(fitted.network, seen, rows, temperature=1e9)
    np.testing.assert_allclose(even, 0.25, atol=1e-6)


def test_the_head_makes_the_logits_of_the_features(fitted: Fitted, seen: ImageBank) -> None:
    rows = np.array([3, 30])
    head = find_head(fitted.network)
    found = run_network(fitted.network, seen, rows)
    given = torch.from_numpy(found.features).float()
    assert given.shape == (2, 512)
    with torch.no_grad():
        wanted = head(given).numpy()
    np.testing.assert_allclose(found.logits, wanted, atol=1e-5)
    kept = compute_feature_bank(fitted.network, seen, rows, cells=len(seen))
    (batch,) = kept.batches([rows[::-1].copy()])
    assert torch.equal(batch, given.flip(0))


def test_one_pass_gives_logits_and_features(fitted: Fitted, seen: ImageBank) -> None:
    calls = []
    hook = fitted.network.register_forward_pre_hook(lambda *_: calls.append(1))
    found = run_network(fitted.network, seen, np.arange(PREDICTION_BATCH["cpu"] + 1))
    hook.remove()
    assert len(calls) == 2
    assert (found.logits.shape, found.features.shape) == ((33, 4), (33, 512))


def test_looking_leaves_a_network_as_it_was(fitted: Fitted, seen: ImageBank) -> None:
    network = fitted.network
    network.fc[0].train()  # type: ignore[union-attr, operator]
    before = [module.training for module in network.modules()]
    with pytest.raises(RuntimeError, match="inside"), evaluation_mode(network):
        assert not any(module.training for module in network.modules())
        raise RuntimeError("inside")
    predict(network, seen, [0])
    assert not find_head(network)._forward_pre_hooks
    assert [module.training for module in network.modules()] == before
    network.eval()


def test_no_rows_are_refused(fitted: Fitted, seen: ImageBank) -> None:
    with pytest.raises(ValueError, match="no rows to run on"):
        run_network(fitted.network, seen, [])
