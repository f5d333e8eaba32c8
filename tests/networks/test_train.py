"""The training loop: what it learns, when it stops, and that it does the same twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sts.base.errors import StsError
from sts.base.types import Ints, Precision
from sts.datasets.store import SweepStore
from sts.learning.device import has_bfloat16
from sts.learning.training import TrainingProgress
from sts.networks import train as train_module
from sts.networks.backbones import PUBLISHED_NUMBERS, Architecture, make_network
from sts.networks.predict import predict, run_network
from sts.networks.settings import TrainSettings, epoch_batches
from sts.networks.train import Epoch, Fitted, Learner, balance_classes, fit
from sts.scalograms.bank import ImageBank
from tests.networks.conftest import RESNET, SEEN, TRAIN, UNSEEN, VALIDATION
from tests.networks.worlds import same_state

MOBILE = Architecture(number=4, weights="none")
INCEPTION = Architecture(number=2, weights="none")
QUICK = TrainSettings(batch=8, epochs=2, dropout=0.3)


def test_a_network_learns_to_tell_classes_of_cells_it_has_not_seen(
    fitted: Fitted, bank: ImageBank, labels: Ints
) -> None:
    found = predict(fitted.network, bank.like(fitted.images), UNSEEN).argmax(axis=1)
    # Chance gives 6 of 24, and 16 or more once in 40,000 times.
    assert (found == labels[UNSEEN]).sum() >= 16


@pytest.mark.parametrize("freeze", ["NONE", "FULL"])
@pytest.mark.parametrize("number", PUBLISHED_NUMBERS)
def test_every_network_trains_at_every_freeze_level(
    number: int, freeze: str, store: SweepStore, labels: Ints
) -> None:
    architecture = Architecture(number=number, freeze=freeze, weights="none")  # type: ignore[arg-type]
    bank = ImageBank(store.rows(np.arange(12)), architecture.images(architecture.backbone.smallest))
    # Nine cells in batches of four would leave one alone.
    result = fit(
        architecture,
        bank,
        labels[:12],
        train_rows=np.arange(9),
        validation_rows=np.arange(9, 12),
        settings=TrainSettings(batch=4, epochs=1, learning_rate=1e-3, seed=5),
    )
    start = make_network(architecture, seed=5)
    head = architecture.backbone.head
    before, after = start.state_dict(), result.network.state_dict()
    assert before.keys() == after.keys()
    for name, value in after.items():
        moved = not torch.equal(value, before[name])
        if name.startswith(f"{head}."):
            assert moved, name
        elif freeze == "FULL":
            assert not moved, name
        elif name.endswith("running_mean"):
            assert moved, name
    assert not result.network.training


def test_a_seed_gives_the_same_weights_twice(bank: ImageBank, labels: Ints) -> None:
    one, other, third = (
        fit(MOBILE, bank, labels, train_rows=TRAIN, settings=replace(QUICK, seed=seed))
        for seed in (1, 1, 2)
    )
    assert same_state(one.network, other.network)
    assert one.curves == other.curves
    assert not same_state(one.network, third.network)


def test_a_fit_that_was_killed_goes_on_to_the_same_weights(
    bank: ImageBank, labels: Ints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "KEEP_FIT_EVERY_S", 0.0)
    rows = {"train_rows": TRAIN, "validation_rows": VALIDATION}
    settings = replace(QUICK, epochs=4)
    whole = fit(MOBILE, bank, labels, **rows, settings=settings)
    state = tmp_path / "fit.safetensors"
    seen: list[int] = []

    def die(epoch: Epoch) -> None:
        seen.append(epoch.number)
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(MOBILE, bank, labels, **rows, settings=settings, state=state, on_epoch=die)
    again = fit(
        MOBILE,
        bank,
        labels,
        **rows,
        settings=settings,
        state=state,
        on_epoch=lambda epoch: seen.append(epoch.number),
    )
    assert seen == [1, 2, 3, 4]
    assert same_state(again.network, whole.network)
    assert again.curves == whole.curves
    assert again.best_epoch == whole.best_epoch


def test_the_file_of_another_fit_is_not_gone_on_from(
    bank: ImageBank, labels: Ints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "KEEP_FIT_EVERY_S", 0.0)
    state = tmp_path / "fit.safetensors"
    frozen = replace(MOBILE, freeze="FULL")
    seen: list[int] = []
    for settings, rows in ((QUICK, TRAIN), (replace(QUICK, seed=9), TRAIN), (QUICK, TRAIN[:20])):
        fit(
            frozen,
            bank,
            labels,
            train_rows=rows,
            settings=settings,
            state=state,
            on_epoch=lambda epoch: seen.append(epoch.number),
        )
    assert seen == [1, 2] * 3
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(StsError, match=r"fit\.safetensors is damaged: remove it"):
        fit(frozen, bank, labels, train_rows=TRAIN, settings=QUICK, state=state)


def losses(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Let validation losses be `values`, one an epoch."""
    left = iter(values)

    def validate(self: object, rows: Ints) -> tuple[float, float]:
        return next(left), 0.5

    monkeypatch.setattr("sts.networks.train.Learner._validate", validate)


def test_training_stops_when_the_loss_no_longer_falls_by_5_percent(
    bank: ImageBank, labels: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0.96 and 0.951 are lower, and not by 5 %.
    losses(monkeypatch, [1.0, 0.96, 0.94, 0.9, 0.951 * 0.94, 0.1])
    frozen = replace(MOBILE, freeze="FULL")
    result = fit(
        frozen,
        bank,
        labels,
        train_rows=TRAIN,
        validation_rows=VALIDATION,
        settings=TrainSettings(batch=8, epochs=20, patience=2),
    )
    assert [epoch.better for epoch in result.curves] == [True, False, True, False, False]
    assert (result.best_epoch, result.epochs) == (3, 5)


def test_the_network_of_the_best_epoch_is_returned(
    bank: ImageBank, labels: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = replace(MOBILE, freeze="FULL")
    settings = TrainSettings(batch=8, epochs=4, patience=2)
    best = fit(frozen, bank, labels, train_rows=TRAIN, settings=replace(settings, epochs=2))
    losses(monkeypatch, [1.0, 0.5, 0.9, 0.9])
    result = fit(
        frozen, bank, labels, train_rows=TRAIN, validation_rows=VALIDATION, settings=settings
    )
    assert same_state(result.network, best.network)


def test_without_validation_every_epoch_is_run(bank: ImageBank, labels: Ints) -> None:
    settings = TrainSettings(batch=8, epochs=5, patience=1)
    frozen = replace(MOBILE, freeze="FULL")
    result = fit(frozen, bank, labels, train_rows=TRAIN, settings=settings)
    assert result.epochs == result.best_epoch == 5


def test_statistics_come_from_the_training_rows_alone(fitted: Fitted, bank: ImageBank) -> None:
    assert fitted.images == bank.standardise(SEEN).settings


def test_a_loss_that_is_not_finite_is_a_numeric_failure(
    bank: ImageBank, labels: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = replace(MOBILE, freeze="FULL")
    losses(monkeypatch, [float("inf")] * 3)
    with pytest.raises(FloatingPointError, match="validation loss was never finite"):
        fit(
            frozen,
            bank,
            labels,
            train_rows=TRAIN,
            validation_rows=VALIDATION,
            settings=TrainSettings(batch=8, epochs=3),
        )
    monkeypatch.setattr(
        "sts.networks.train.functional.cross_entropy",
        lambda logits, *args, **kwargs: logits.sum() * float("nan"),
    )
    with pytest.raises(FloatingPointError, match="training loss is nan in epoch 1"):
        fit(frozen, bank, labels, train_rows=TRAIN, settings=QUICK)


def test_a_class_that_is_missing_is_named(bank: ImageBank, labels: Ints) -> None:
    rows = np.flatnonzero((labels == 0) | (labels == 2))
    with pytest.raises(StsError, match="no cell of class Excitatory, Sst among the 32"):
        fit(RESNET, bank, labels, train_rows=rows, settings=QUICK)


def test_images_that_are_too_small_are_refused(bank: ImageBank, labels: Ints) -> None:
    with pytest.raises(StsError, match="InceptionV3 needs images of at least 75 x 75 pixels"):
        fit(INCEPTION, bank, labels, train_rows=TRAIN, settings=QUICK)


def test_a_row_is_trained_on_or_validated_with(bank: ImageBank, labels: Ints) -> None:
    with pytest.raises(ValueError, match="cannot be trained on and validated with"):
        fit(RESNET, bank, labels, train_rows=TRAIN, validation_rows=TRAIN, settings=QUICK)


def test_class_weights_make_all_classes_count_the_same() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    weights = balance_classes(labels, np.arange(8), 4)
    assert (weights * np.bincount(labels)).tolist() == [2, 2, 2, 2]


def test_class_weights_change_what_is_learnt(bank: ImageBank, labels: Ints) -> None:
    frozen = replace(MOBILE, freeze="FULL")
    rows = np.concatenate([TRAIN, np.flatnonzero(labels == 1)[6:]])
    one, other = (
        fit(frozen, bank, labels, train_rows=rows, settings=replace(QUICK, class_weights=some))
        for some in (False, True)
    )
    assert not same_state(one.network, other.network)


def test_gradients_are_those_of_torchs_weighted_cross_entropy(
    bank: ImageBank, labels: Ints
) -> None:
    network = make_network(replace(MOBILE, freeze="FULL"))
    weights = np.array([1.0, 5.0, 0.2, 2.0])
    settings = replace(QUICK, precision="float32")
    learner = Learner(network, bank, labels, weights, settings)
    network.eval()
    batch = np.array([0, 1, 2, 5, 9])
    images = bank.images(batch)
    targets = learner.select_targets([batch])[0]
    loss, weight, right, count = learner.backward(images, targets).tolist()
    linear = network.get_submodule("classifier.1")
    came = linear.get_parameter("weight").grad
    assert came is not None
    logits_ = network(images)
    wanted = torch.nn.functional.cross_entropy(
        logits_, torch.from_numpy(labels[batch]), weight=torch.tensor(weights, dtype=torch.float32)
    )
    (gradient,) = torch.autograd.grad(wanted, linear.get_parameter("weight"))
    # One float32 sum divided before or after.
    torch.testing.assert_close(came, gradient, rtol=1e-4, atol=1e-6)
    assert loss / weight == pytest.approx(wanted.item(), rel=1e-5)
    assert right == (logits_.detach().argmax(dim=1).numpy() == labels[batch]).sum()
    assert count == 5


def test_bfloat16_is_used_where_asked_for_and_loses_little(bank: ImageBank, labels: Ints) -> None:
    batch = np.arange(10)
    found: dict[Precision, Tensor] = {}
    for precision in ("float32", "bfloat16"):
        network = make_network(replace(MOBILE, freeze="FULL")).eval()
        settings = replace(QUICK, precision=precision)
        learner = Learner(network, bank, labels, np.ones(4), settings)
        learner.backward(bank.images(batch), learner.select_targets([batch])[0])
        came = network.get_parameter("classifier.1.weight").grad
        assert came is not None
        found[precision] = came
    exact, short = found["float32"], found["bfloat16"]
    assert not torch.equal(exact, short)
    # bfloat16 keeps 8 bits; through fifty layers a few of them are lost.
    assert float((short - exact).norm() / exact.norm()) < 0.1


def test_a_device_without_bfloat16_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)  # noqa: B023
        assert has_bfloat16(torch.device("cpu")) is native


def test_dropout_differs_between_epochs_and_seeds(
    bank: ImageBank, labels: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    @contextmanager
    def record(seed: int, device: torch.device) -> Iterator[None]:
        seeds.append(seed)
        yield

    monkeypatch.setattr("sts.networks.train.draw_from_seed", record)
    monkeypatch.setattr(Learner, "_train", lambda *args: (1.0, 1.0))
    head = make_network(MOBILE).get_submodule("classifier")
    for seed in (0, 1):
        learner = Learner(head, bank, labels, np.ones(4), replace(QUICK, seed=seed))
        done = learner.run_epoch(TrainingProgress(), TRAIN, np.array([], dtype=int))
        learner.run_epoch(done, TRAIN, np.array([], dtype=int))
    assert len(set(seeds)) == len(seeds) == 4


def test_a_frozen_extractor_gives_what_training_by_images_would(
    bank: ImageBank, labels: Ints
) -> None:
    """Features made once and a head trained on them, against every batch through the network."""
    frozen = replace(RESNET, freeze="FULL")
    settings = TrainSettings(batch=8, epochs=1, learning_rate=0.01, precision="float32")
    result = fit(frozen, bank, labels, train_rows=TRAIN, settings=settings)
    network = make_network(frozen, seed=settings.seed)
    seen = bank.standardise(TRAIN)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    for rows in epoch_batches(TRAIN, settings, 0):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            network(seen.images(rows)), torch.from_numpy(labels[rows])
        )
        loss.backward()
        optimizer.step()
    # Three steps of Adam in float32, features from batches of another size.
    np.testing.assert_allclose(
        run_network(result.network, seen, VALIDATION).logits,
        run_network(network, seen, VALIDATION).logits,
        atol=1e-4,
    )


# Dynamo looks at gradients of what the plain head returned, which has none, and torch says so.
PLAIN_HEAD = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@PLAIN_HEAD
def test_a_search_compiles_once_for_all_its_fits(
    bank: ImageBank, labels: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(len(inputs[-1]))
        return graph.forward

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", partial(compiler, backend=backend))
    # 13 rows are a whole batch of 8 and an odd one of 5.
    for dropout in (0.0, 0.3, 0.5):
        settings = replace(QUICK, batch=8, epochs=1, dropout=dropout, compile=True)
        fit(RESNET, bank, labels, train_rows=TRAIN[:13], settings=settings)
    assert len(graphs) == 1


@PLAIN_HEAD
def test_a_compiled_network_learns_what_a_plain_one_does(
    bank: ImageBank, labels: Ints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    plain, compiled = (
        fit(RESNET, bank, labels, train_rows=TRAIN, settings=replace(QUICK, compile=wanted))
        for wanted in (False, True)
    )
    assert same_state(plain.network, compiled.network)


@pytest.mark.cuda
# The compiler warns of what it does itself.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("number", PUBLISHED_NUMBERS)
def test_every_network_trains_on_cuda(number: int, store: SweepStore, labels: Ints) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    architecture = Architecture(number=number, weights="none")
    bank = ImageBank(store, architecture.images(), "cuda")
    before = torch.cuda.get_rng_state()
    result = fit(
        architecture,
        bank,
        labels,
        train_rows=TRAIN,
        validation_rows=VALIDATION,
        settings=TrainSettings(batch=8, epochs=2, dropout=0.3, compile=number == 1),
    )
    assert np.isfinite([epoch.train_loss for epoch in result.curves]).all()
    found = predict(result.network, bank.like(result.images), np.arange(len(store)))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert torch.equal(torch.cuda.get_rng_state(), before)


class PlainStep:
    """What a recorded step does, without recording."""

    def __init__(self, _: object, step: Callable[..., Tensor], __: object) -> None:
        self.replay = step


# InceptionV3 computes its branches beside each other where the step is recorded.
@pytest.mark.cuda
@pytest.mark.parametrize(("architecture", "side"), [(MOBILE, 64), (INCEPTION, 128)])
def test_a_recorded_step_learns_what_a_plain_one_does(
    architecture: Architecture,
    side: int,
    cuda: torch.device,
    store: SweepStore,
    labels: Ints,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    bank = ImageBank(store, architecture.images(side), cuda)
    # 8 of the rows are a recorded batch; the odd one at the end is a plain step.
    rows, settings = TRAIN[:21], replace(QUICK, batch=8, epochs=2, precision="float32", dropout=0.0)
    recorded = fit(architecture, bank, labels, train_rows=rows, settings=settings)
    monkeypatch.setattr(train_module, "RecordedStep", PlainStep)
    plain = fit(architecture, bank, labels, train_rows=rows, settings=settings)
    losses = [[epoch.train_loss for epoch in fitted.curves] for fitted in (recorded, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    states = [fitted.network.state_dict() for fitted in (recorded, plain)]
    counted = {int(value) for name, value in states[0].items() if "num_batches" in name}
    assert counted == {6}
    for name, value in states[0].items():
        np.testing.assert_allclose(value.cpu(), states[1][name].cpu(), rtol=1e-3, atol=1e-4)


@pytest.mark.cuda
def test_a_fit_on_cuda_that_was_killed_goes_on(
    cuda: torch.device,
    store: SweepStore,
    labels: Ints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train_module, "KEEP_FIT_EVERY_S", 0.0)
    # Else sums come out in another order each time, and a few epochs make much of it.
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    bank = ImageBank(store, MOBILE.images(64), cuda)
    rows = {"train_rows": TRAIN, "validation_rows": VALIDATION}
    settings = replace(QUICK, epochs=4, precision="float32")
    whole = fit(MOBILE, bank, labels, **rows, settings=settings)
    state = tmp_path / "fit.safetensors"

    def die(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(MOBILE, bank, labels, **rows, settings=settings, state=state, on_epoch=die)
    again = fit(MOBILE, bank, labels, **rows, settings=settings, state=state)
    assert len(again.curves) == 4
    # Pooling may still add in another order, so they are nearly the same losses.
    for one, other in zip(again.curves, whole.curves, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.02)
