"""Models on disk: whole, or refused in one line."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base import model_files
from sts.base.errors import StsError
from sts.base.files import read_json, write_json
from sts.networks.backbones import BACKBONES, Architecture, make_network
from sts.networks.checkpoint import (
    Model,
    ModelCard,
    load_model,
    load_network_card,
    model_folder,
    save_model,
)
from sts.networks.novelty import measure_network_novelty
from sts.networks.predict import predict, run_network
from sts.networks.train import Fitted
from sts.scalograms.bank import ImageBank
from tests.base.tampering import WAYS, check_refusal, tamper
from tests.networks.conftest import RESNET, SEEN
from tests.networks.worlds import same_state


@pytest.fixture(scope="module")
def model(fitted: Fitted, bank: ImageBank) -> Model:
    found = run_network(fitted.network, bank.like(fitted.images), SEEN).features
    return Model(
        network=fitted.network,
        card=ModelCard(
            name="ResNet18",
            architecture=fitted.architecture,
            images=fitted.images,
            settings=fitted.settings,
            epochs=fitted.epochs,
            temperature=1.5,
            scores={"balanced_accuracy": [0.9, 0.8, 0.95]},
        ),
        novelty=measure_network_novelty(found, found),
    )


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    folder = model_folder(tmp_path / "models", model.card.architecture)
    save_model(folder, model)
    return folder


def test_a_model_comes_back_as_it_was(model: Model, folder: Path, bank: ImageBank) -> None:
    assert folder.parts[-2:] == ("ResNet18_best_models", "NONE")
    again = load_model(folder, wanted=RESNET)
    assert same_state(again.network, model.network)
    assert not again.network.training
    rows = np.array([1, 60])
    seen = bank.like(again.card.images)
    assert np.array_equal(predict(again.network, seen, rows), predict(model.network, seen, rows))
    assert again.novelty is not None
    assert model.novelty is not None
    shown = np.random.default_rng(0).normal(size=(3, 512))
    # float32 on disk, as it was in memory before.
    np.testing.assert_allclose(again.novelty.distances(shown), model.novelty.distances(shown))
    assert again.novelty.rule == model.novelty.rule


def test_the_card_tells_what_the_model_is(model: Model, folder: Path) -> None:
    card = load_network_card(folder)
    assert card.versions.keys() == {"numpy", "python", "torch", "torchvision"}
    assert len(card.sha256) == 64
    assert model.novelty is not None
    assert card == replace(
        model.card, versions=card.versions, sha256=card.sha256, novelty=model.novelty.rule
    )


@pytest.mark.parametrize("number", sorted(BACKBONES))
def test_every_network_can_be_stored(number: int, tmp_path: Path) -> None:
    architecture = Architecture(number=number, freeze="FULL", weights="none")
    network = make_network(architecture, dropout=0.3, seed=1)
    card = ModelCard(
        name=architecture.backbone.name,
        architecture=architecture,
        images=architecture.images(),
        dropout=0.3,
    )
    save_model(tmp_path, Model(network=network, card=card))
    again = load_model(tmp_path, wanted=architecture)
    assert same_state(again.network, network)
    assert again.novelty is None


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(StsError, match=r"model\.safetensors is damaged or not the one"):
        load_model(folder)


def test_a_truncated_model_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(StsError, match=r"model\.safetensors is damaged"):
        load_model(folder)
    path.unlink()
    with pytest.raises(StsError, match=r"no .*model\.safetensors beside its model\.json"):
        load_model(folder)


def test_a_damaged_card_is_noticed(folder: Path) -> None:
    path = folder / "model.json"
    card = read_json(path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(StsError, match=r"model\.json, line .*: not JSON"):
        load_model(folder)
    for change, message in (
        ({"format": "sts-network 9"}, "no card of format"),
        ({"name": "InceptionV3"}, "contradicts itself"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
        ({"sha256": "0" * 64}, "damaged or not the one"),
    ):
        write_json(path, card | change)
        with pytest.raises(StsError, match=message):
            load_model(folder)


def test_a_model_of_another_network_is_refused(folder: Path) -> None:
    with pytest.raises(StsError, match="contains ResNet18 NONE, expected InceptionV3 NONE: train"):
        load_model(folder, wanted=Architecture(number=2))
    with pytest.raises(StsError, match="expected ResNet18 FULL"):
        load_model(folder, wanted=replace(RESNET, freeze="FULL"))
    path = folder / "model.json"
    card = read_json(path)
    card["name"], card["architecture"]["number"] = "MobileNetV2", 4
    write_json(path, card)
    with pytest.raises(StsError, match=r"model\.safetensors does not contain a MobileNetV2"):
        load_model(folder)


def test_a_model_that_is_not_there_is_answered_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"no model at .*: train it with `sts_pipeline.py 2 TRAIN"):
        load_model(tmp_path / "none", wanted=Architecture(number=2))


def test_a_write_that_fails_leaves_the_old_model(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_network_card(folder).sha256
    other = make_network(RESNET, seed=9)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(model_files, "flush", full)
    with pytest.raises(StsError, match="the disk is full"):
        save_model(folder, replace(model, network=other))
    monkeypatch.undo()
    assert load_model(folder).card.sha256 == before
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_was_tampered_with_is_refused_in_one_line(folder: Path, way: str) -> None:
    tamper(folder, way)
    check_refusal(lambda: load_model(folder))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("images", {"height": 10**9}, r"images\.height must be"),
        ("images", {"height": 8000, "width": 8000}, "8000 x 8000 pixels is too large"),
        ("images", {"height": 4}, "needs images of at least 8 x 32 pixels"),
        ("images", {"height": "224"}, r"images\.height must be a whole number, not '224'"),
        ("images", {"height": True}, r"images\.height must be a whole number, not True"),
        ("images", {"mean": [0, 0, 0], "deviation": [1, 1, 0]}, r"deviation\[2\] must be"),
        ("images", {"mean": [0, 0, 0], "deviation": [1, 1, 1e-300]}, r"deviation\[2\] must be"),
        ("architecture", {"classes": 10**9}, r"architecture\.classes must be"),
        ("architecture", {"classes": 3}, "must name the classes"),
        ("settings", {"batch": 10**12}, r"settings\.batch must be"),
        ("novelty", {"neighbours": 0}, r"novelty\.neighbours must be"),
        ("novelty", {"neighbours": 1000}, "takes 1000 neighbours"),
        ("novelty", {"threshold": -1.0}, r"novelty\.threshold must be"),
    ],
)
def test_numbers_of_no_sense_are_refused_by_name(
    folder: Path, name: str, value: dict[str, object], line: str
) -> None:
    path = folder / "model.json"
    card = read_json(path)
    card[name] = {**card[name], **value}
    write_json(path, card)
    with pytest.raises(StsError, match=line):
        load_model(folder)


def test_a_model_of_other_cells_is_kept_under_its_date(model: Model, folder: Path) -> None:
    other = replace(model, card=replace(model.card, data={"training_fingerprint": "b"}))
    save_model(folder, other)
    kept = [path for path in folder.parent.iterdir() if path != folder]
    assert len(kept) == 1
    assert re.fullmatch(r"NONE-\d{8}-\d{6}", kept[0].name)
    assert load_network_card(kept[0]).data == {}
    save_model(folder, other)
    assert len(list(folder.parent.iterdir())) == 2


def test_a_model_can_have_a_name_of_ones_own(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, RESNET, "mine")
    assert folder == tmp_path / "ResNet18_best_models" / "mine"
    for name in ("", "..", "a/b", ".hidden", "-v", "x" * 101, "a\nb"):
        with pytest.raises(StsError, match="a name must have at most 100 letters"):
            model_folder(tmp_path, RESNET, name)
