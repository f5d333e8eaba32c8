"""Published pickles become models of ours, and others run nothing."""

import copy
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from sts.base.errors import StsError
from sts.learning.device import draw_from_seed
from sts.networks.backbones import BACKBONES, PUBLISHED_NUMBERS
from sts.networks.checkpoint import load_model, save_model
from sts.networks.predict import run_network
from sts.networks.published import (
    LAYERS,
    PUBLISHED_FOLDERS,
    find_published_models,
    import_published,
)
from sts.scalograms.bank import ImageBank
from tests.networks.worlds import make_world, same_state


def give_statistics(network: Any, size: tuple[int, int]) -> None:
    """Let batch norms see images, without which logits would hardly depend on them."""
    auxiliary = network._modules.get("AuxLogits")
    if auxiliary is not None:
        network.AuxLogits, network.aux_logits = None, False
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(8, 3, *size) + 0.5)
    for layer in norms:
        layer.momentum = 0.1
    if auxiliary is not None:
        network.AuxLogits, network.aux_logits = auxiliary, True


def published(number: int, *, dropout: float = 0.0, frozen: bool = False) -> nn.Module:
    """Return a network as the published code makes it, its statistics and weights at random."""
    builders: dict[int, Any] = {
        1: models.resnet18,
        # Pretrained weights switch the input transform on.
        2: lambda: models.inception_v3(init_weights=False, transform_input=True),
        3: models.densenet121,
        4: models.mobilenet_v2,
    }
    with draw_from_seed(number):
        network: Any = builders[number]()
        give_statistics(network, BACKBONES[number].smallest)
        if frozen:
            network.requires_grad_(False)
        old = network.classifier if number in (3, 4) else network.fc
        linear = nn.Linear((old[-1] if number == 4 else old).in_features, 4)
        head = linear if dropout == 0 else nn.Sequential(nn.Dropout(p=dropout), linear)
    if number == 4:
        network.classifier[-1] = head
    elif number == 3:
        network.classifier = head
    else:
        network.fc = head
    return network.eval()


@pytest.fixture
def estimator_class(monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """Give the published class, which lived in the script that was run."""

    class MyEstimator:
        def __init__(self, model_no: int, freeze_level: str, **params: object) -> None:
            self.model_no = model_no
            self.params = params
            self.freeze_level = freeze_level
            self.model: nn.Module | None = None
            self.size_model: tuple[int, int] | None = None
            self.epoch_counts: list[int] = []

    MyEstimator.__module__, MyEstimator.__qualname__ = "__main__", "MyEstimator"
    monkeypatch.setattr(sys.modules["__main__"], "MyEstimator", MyEstimator, raising=False)
    return MyEstimator


def dump(path: Path, value: object, *, protocol: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("number", PUBLISHED_NUMBERS)
def test_an_imported_model_gives_the_published_logits(
    number: int, dropout: float, tmp_path: Path
) -> None:
    theirs = published(number, dropout=dropout)
    model = import_published(dump(tmp_path / "best_model.pkl", theirs))
    height, width = BACKBONES[number].smallest
    images = torch.randn(3, 3, height, width + 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, came = theirs(images), model.network(images)
    assert wanted.std(dim=0).max() > 0.03 * wanted.abs().max()
    # Of the largest: the input transform is folded into a layer, the rest is the same arithmetic.
    torch.testing.assert_close(came, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert model.card.name == BACKBONES[number].name
    # In MobileNetV2 the published code leaves torchvision's own dropout before a bare layer.
    assert model.card.dropout == (0.2 if (number, dropout) == (4, 0.0) else dropout)
    assert model.card.classes == ("Pvalb", "Excitatory", "Vip/Lamp5", "Sst")
    assert model.card.images.parity == "pywt"
    assert model.card.images.mean is None
    size = (model.card.images.height, model.card.images.width)
    assert size == ((299, 299) if number == 2 else (224, 244))


def test_an_estimator_holds_the_same_model(estimator_class: type, tmp_path: Path) -> None:
    theirs = published(4, dropout=0.3, frozen=True)
    estimator = estimator_class(
        4, "FULL", batch_size=np.int64(32), learning_rate=np.float64(0.01), lr_decay=0
    )
    estimator.model, estimator.size_model, estimator.epoch_counts = theirs, (224, 244), [3, 4]
    one = import_published(dump(tmp_path / "best_estimator.pkl", estimator))
    other = import_published(dump(tmp_path / "best_model.pkl", theirs))
    assert same_state(one.network, other.network)
    assert one.card == other.card
    assert one.card.architecture.freeze == "FULL"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    theirs = published(4)
    model = import_published(dump(tmp_path / "a.pkl", theirs, protocol=protocol))
    weight = model.network.state_dict()["classifier.1.weight"]
    assert torch.equal(weight, theirs.state_dict()["classifier.1.weight"])


def test_an_imported_model_can_be_stored_and_used(tmp_path: Path) -> None:
    model = import_published(dump(tmp_path / "best_model.pkl", published(1)))
    save_model(tmp_path / "ours", model)
    again = load_model(tmp_path / "ours")
    bank = ImageBank(make_world(2), again.card.images)
    assert run_network(again.network, bank, [0, 1]).logits.shape == (2, 4)
    assert again.card.origin == "published by Amprimo et al. (2025)"
    assert again.card.architecture.freeze == "NONE"


class Payload:
    """Would make a folder when unpickled by anybody else."""

    def __init__(self, where: Path, call: Any = os.mkdir) -> None:
        self.where, self.call = where, call

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.call, (str(self.where),)


def hidden_in_a_storage(where: Path) -> bytes:
    """Return a pickle that has torch unpickle bytes, which is what a storage is."""
    inner = pickle.dumps(Payload(where))

    class Storage:
        def __reduce__(self) -> tuple[Any, tuple[bytes]]:
            return torch.storage._load_from_bytes, (inner,)

    return pickle.dumps(Storage())


def test_a_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    carrier = published(4)
    # An attribute of a network that is all right otherwise.
    carrier.payload = Payload(ran)  # type: ignore[assignment]
    contents = {
        "bare": pickle.dumps(Payload(ran)),
        "in a network": pickle.dumps(carrier),
        "in a storage": hidden_in_a_storage(ran),
        "eval": b'cbuiltins\neval\n(S\'__import__("os").mkdir("' + str(ran).encode() + b"\")'\ntR.",
        # A dotted name reaches from an allowed module's class to what it can see.
        "dotted": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
        "torch.load": b"ctorch.serialization\nload\n.",
        "subclass": b"ctorch.nn.modules.module\nModule\n.",
        "getattr": b"cbuiltins\ngetattr\n.",
        "persistent": b"Psomething\n.",
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(content)
        with pytest.raises(StsError) as told:
            import_published(path)
        assert "\n" not in str(told.value), name
        assert not ran.exists(), name
        assert f"refused {path}: it uses " in str(told.value), name
    # The payloads are live: read by pickle itself, one does run.
    pickle.loads(contents["bare"])  # noqa: S301 - our own
    assert ran.exists()


def test_a_refusal_names_what_was_wanted(tmp_path: Path) -> None:
    path = tmp_path / "best_model.pkl"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(StsError, match=r"it uses (posix|nt)\.mkdir, unlike the published models"):
        import_published(path)


def test_a_file_cannot_change_how_the_next_one_is_read(tmp_path: Path) -> None:
    # BUILD with a slot state sets attributes of a class: here, of the stand-in for a network.
    name = b"ctorchvision.models.mobilenetv2\nMobileNetV2\n"
    content = b"\x80\x02" + name + b"N}X\x06\x00\x00\x00originK\x01s\x86b."
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(StsError, match="contains none of the four networks"):
        import_published(path)
    model = import_published(dump(tmp_path / "b.pkl", published(4)))
    assert model.card.name == "MobileNetV2"


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    wrong: Any = published(1)
    with draw_from_seed(0):
        wrong.fc = nn.Linear(512, 5)
    narrow: Any = copy.deepcopy(published(1))
    narrow.layer4 = nn.Sequential()
    for network in (wrong, narrow):
        with pytest.raises(StsError, match="not a published ResNet18 of 4 classes"):
            import_published(dump(tmp_path / "a.pkl", network))
    with pytest.raises(StsError, match="contains none of the four networks"):
        import_published(dump(tmp_path / "a.pkl", {"a": 1}))


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    network: Any = published(4)

    class Huge:
        def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
            flat = torch.storage.TypedStorage(
                wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.float32, _internal=True
            )
            size = (10**6,)
            return torch._utils._rebuild_tensor_v2, (flat, 0, size, (0,), False, {})

    network.extra = Huge()
    with pytest.raises(StsError, match="is damaged or no pickle"):
        import_published(dump(tmp_path / "a.pkl", network))


@pytest.mark.parametrize("archive", [True, False])
def test_what_torch_saved_is_not_called_damaged(tmp_path: Path, archive: bool) -> None:
    path = tmp_path / "best_model.pkl"
    torch.save(published(4).state_dict(), path, _use_new_zipfile_serialization=archive)
    with pytest.raises(StsError, match=r"is an archive of torch\.save, not a pickle") as told:
        import_published(path)
    assert "\n" not in str(told.value)


def test_a_damaged_pickle_is_one_line(tmp_path: Path) -> None:
    whole = pickle.dumps(published(4))
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1], b"\x80\x05]\x94" * 9):
        path = tmp_path / "best_model.pkl"
        path.write_bytes(content)
        with pytest.raises(StsError, match="is damaged or no pickle: fetch it again"):
            import_published(path)
    with pytest.raises(StsError, match=r"cannot read .*: no such file"):
        import_published(tmp_path / "absent.pkl")


def test_models_are_found_under_both_published_names(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="no published model under"):
        find_published_models(tmp_path)
    for folder, file in (
        ("ResNet18_best_models", "best_estimator.pkl"),
        ("ResNet18_best_models", "best_model.pkl"),
        ("Incep_v3_best_models", "best_model.pkl"),
        ("MobileNetV2_best_models", "best_estimator.pkl"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / file).touch()
    found = find_published_models(tmp_path)
    assert {number: path.parent.name for number, path in found.items()} == {
        1: "ResNet18_best_models",
        2: "Incep_v3_best_models",
        4: "MobileNetV2_best_models",
    }
    assert found[1].name == "best_model.pkl"
    assert PUBLISHED_FOLDERS.keys() == set(PUBLISHED_NUMBERS)


def test_the_list_of_names_holds_no_more_than_is_needed() -> None:
    seen: set[tuple[str, str]] = set()
    for number in PUBLISHED_NUMBERS:
        layers = published(number, dropout=0.5).modules()
        seen |= {(type(layer).__module__, type(layer).__qualname__) for layer in layers}
    assert LAYERS - seen == {
        ("__main__", "MyEstimator"),
        ("torchvision.ops.misc", "ConvNormActivation"),
    }
