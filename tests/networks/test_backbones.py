"""The four networks, made ready for our classes."""

import ctypes
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from sts.base.errors import StsError
from sts.learning.device import cast_to, draw_from_seed
from sts.networks import backbones as weights_module
from sts.networks.backbones import (
    AUXILIARY,
    BACKBONES,
    PUBLISHED_NUMBERS,
    Architecture,
    find_head,
    make_network,
    place_network,
    read_imagenet_state,
    read_state,
    split_outputs,
)
from tests.networks.worlds import same_state

NUMBERS = PUBLISHED_NUMBERS


def build(number: int) -> nn.Module:
    """Return a network as torchvision makes it, for 1,000 classes."""
    backbone = BACKBONES[number]
    with draw_from_seed(3):
        return backbone.build(weights=None, **dict(backbone.options))


def test_the_table_is_the_published_one() -> None:
    names = {number: BACKBONES[number].name for number in PUBLISHED_NUMBERS}
    assert names == {1: "ResNet18", 2: "InceptionV3", 3: "DenseNet121", 4: "MobileNetV2"}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_network_gives_a_logit_a_class_at_its_smallest_size(number: int) -> None:
    architecture = Architecture(number=number, weights="none")
    height, width = architecture.backbone.smallest
    network = make_network(architecture, dropout=0.5)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, height, width)).shape == (2, 4)
    for size in ((height - 1, width), (height, width - 1)):
        with pytest.raises(StsError, match=f"at least {height} x {width} pixels"):
            architecture.images(size)
    dropout, linear = find_head(network)
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.5
    assert isinstance(linear, nn.Linear)
    # No second dropout, which InceptionV3 and MobileNetV2 come with.
    others = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in others if layer is not dropout and layer.p] == []


@pytest.fixture
def dirty_memory() -> Iterator[None]:
    """Let the C library fill the memory that it hands out with large numbers."""
    set_option, fill = getattr(ctypes.CDLL(None), "mallopt", None), -6
    if set_option is None:
        pytest.skip("only glibc can fill the memory that it hands out")
    set_option(fill, 128)
    yield
    set_option(fill, 0)


@pytest.mark.usefixtures("dirty_memory")
@pytest.mark.parametrize("number", NUMBERS)
def test_gradients_do_not_depend_on_what_memory_held(number: int) -> None:
    architecture = Architecture(number=number, weights="none")
    network = place_network(make_network(architecture), "cpu").train()
    # Eight images: batch norm makes gradients of very few large.
    images = torch.randn(
        8, 3, *architecture.backbone.smallest, generator=torch.Generator().manual_seed(0)
    )
    with cast_to("bfloat16", torch.device("cpu")):
        output = network(images.contiguous(memory_format=torch.channels_last))
    functional.cross_entropy(output.float(), torch.arange(8) % 4).backward()
    for name, value in network.named_parameters():
        assert value.grad is not None
        assert value.grad.abs().max() < 1e4, name


@pytest.mark.parametrize("number", NUMBERS)
def test_full_lets_the_head_learn_alone(number: int) -> None:
    architecture = Architecture(number=number, freeze="FULL", weights="none")
    network = make_network(architecture)
    learned = [name for name, value in network.named_parameters() if value.requires_grad]
    head = architecture.backbone.head
    assert learned == [f"{head}.1.weight", f"{head}.1.bias"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_file_of_weights_fills_everything_but_the_head(number: int, tmp_path: Path) -> None:
    theirs = build(number)
    file = tmp_path / "weights.pth"
    torch.save(theirs.state_dict(), file)
    network = make_network(Architecture(number=number, weights=str(file)), auxiliary=True)
    given, head = theirs.state_dict(), BACKBONES[number].head
    for name, value in network.state_dict().items():
        if not name.startswith((f"{head}.", f"{AUXILIARY}.fc.")):
            assert torch.equal(value, given[name]), name


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mobile.safetensors"
    safetensors.torch.save_file(build(4).state_dict(), file)
    with pytest.raises(StsError, match=r"mobile\.safetensors are not of ResNet18: features"):
        make_network(Architecture(number=1, weights=str(file)))


def test_a_dense_net_file_of_old_names_is_read(tmp_path: Path) -> None:
    state = build(3).state_dict()
    old = {}
    for name, value in state.items():
        for layer in ("norm1", "norm2", "conv1", "conv2"):
            if "denselayer" in name:
                name = name.replace(f".{layer}.", f".{layer[:-1]}.{layer[-1]}.")
        # As old as the names, files have no counter either.
        if "num_batches_tracked" not in name:
            old[name] = value
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    network = make_network(Architecture(number=3, weights=str(tmp_path / "old.pth")))
    name = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(network.state_dict()[name], state[name])


def test_weights_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"a": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(StsError, match=r"refused .*evil\.pth: it contains more than plain weights"):
        read_state(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(StsError, match="contains no weights of a network"):
        read_state(tmp_path / "list.pth")
    with pytest.raises(StsError, match="give imagenet, none or a file"):
        read_state(tmp_path / "absent.pth")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save(build(4).state_dict(), tmp_path / "torn.pth")
    whole = (tmp_path / "torn.pth").read_bytes()
    (tmp_path / "torn.pth").write_bytes(whole[: len(whole) // 2])
    for name in ("torn.safetensors", "empty.pth", "torn.pth"):
        with pytest.raises(StsError, match=rf"cannot read the weights .*{name}"):
            read_state(tmp_path / name)


class Weights:
    """A weights object of torchvision, as far as we look at it."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Weights, Path]:
    """Return a weights object and the file of it that was fetched before."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints" / "some.pth"
    path.parent.mkdir()
    torch.save({"a": torch.ones(2)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    path = path.rename(path.with_name(f"some-{digest}.pth"))
    return Weights(f"https://example.org/models/{path.name}"), path


def test_cached_weights_are_checked_at_every_load(cached: tuple[Weights, Path]) -> None:
    weights, path = cached
    assert read_imagenet_state(weights)["a"].tolist() == [1, 1]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(StsError, match=r"are damaged .*: remove the file, and fetch it again"):
        read_imagenet_state(weights)


def test_offline_the_error_names_file_address_and_place(
    cached: tuple[Weights, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, path = cached
    path.unlink()

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr(weights_module.torch.hub, "download_url_to_file", offline)
    with pytest.raises(StsError) as told:
        read_imagenet_state(weights)
    text = str(told.value)
    assert path.name in text
    assert weights.url in text
    assert str(path.parent) in text
    assert "--weights none" in text
    assert "\n" not in text


@pytest.mark.parametrize("number", NUMBERS)
def test_torchvision_names_the_hash_in_the_address(number: int) -> None:
    assert BACKBONES[number].imagenet.url.rsplit("-", 1)[1].removesuffix(".pth").isalnum()


def test_a_seed_gives_the_same_network_and_touches_nothing_else() -> None:
    architecture = Architecture(number=4, weights="none")
    before = torch.random.get_rng_state()
    one, other, third = (make_network(architecture, seed=seed) for seed in (1, 1, 2))
    assert same_state(one, other)
    assert not same_state(one, third)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_inception_keeps_an_auxiliary_output_and_only_where_asked() -> None:
    inception = Architecture(number=2, weights="none")
    with_it = make_network(inception, auxiliary=True).train()
    logits, auxiliary = split_outputs(with_it(torch.zeros(2, 3, 299, 299)))
    assert auxiliary is not None
    assert logits.shape == auxiliary.shape == (2, 4)
    without = make_network(inception).train()
    assert split_outputs(without(torch.zeros(2, 3, 75, 75)))[1] is None
    assert not getattr(with_it, "transform_input")  # noqa: B009 - unknown to mypy


def test_images_are_square_unless_height_and_width_are_given() -> None:
    architecture = Architecture(number=1)
    sizes = [(s.height, s.width) for s in map(architecture.images, (None, 96, (32, 384)))]
    assert sizes == [(224, 224), (96, 96), (32, 384)]
    with pytest.raises(StsError, match=r"at least 8 x 32 .* not 6 x 512"):
        architecture.images((6, 512))
    with pytest.raises(StsError, match=r"DenseNet121 needs .* least 32 x 32 .* not 24 x 512"):
        Architecture(number=3).images((24, 512))


def test_an_unknown_network_or_freeze_level_is_refused() -> None:
    with pytest.raises(StsError, match="unknown model number 6: choose from 1 ResNet18, 2 Incep"):
        Architecture(number=6)
    with pytest.raises(StsError, match="unknown freeze level 'HALF'"):
        Architecture(number=1, freeze="HALF")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("height", "taps", "stride", "dilation"),
    [
        (1, 3, 1, 1),
        (2, 3, 2, 1),
        (3, 7, 1, 1),
        (1, 7, 1, 1),
        (2, 3, 1, 2),
        (1, 3, 2, 1),
        (4, 3, 1, 1),
    ],
)
def test_rows_of_a_kernel_that_meet_only_padding_are_left_out(
    height: int, taps: int, stride: int, dilation: int
) -> None:
    made = make_network(Architecture(number=1, weights="none")).get_submodule("conv1")
    pad = dilation * (taps // 2)
    with draw_from_seed(0):
        plain = nn.Conv2d(2, 3, (taps, 3), stride, (pad, 1), (dilation, 1))
        flat = type(made)(2, 3, (taps, 3), stride, (pad, 1), (dilation, 1))
    flat.load_state_dict(plain.state_dict())
    maps = torch.randn(2, 2, height, 9, generator=torch.Generator().manual_seed(1))
    wanted, came = plain(maps), flat(maps)
    wanted.square().sum().backward()
    came.square().sum().backward()
    # The same products, added in another order.
    torch.testing.assert_close(came, wanted)
    torch.testing.assert_close(flat.weight.grad, plain.weight.grad)


def test_inception_computes_what_torchvision_does() -> None:
    inception = Architecture(number=2, weights="none")
    ours = make_network(inception, auxiliary=True, seed=5).double()
    theirs = build(2).double()
    theirs.fc = find_head(ours)
    theirs.AuxLogits.fc = ours.AuxLogits.fc
    theirs.load_state_dict(ours.state_dict())
    assert not {type(layer) for layer in theirs.modules()} <= {type(e) for e in ours.modules()}
    images = torch.randn(
        2, 3, 299, 299, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    for network in (ours, theirs):
        network.train()
        for number, output in enumerate(split_outputs(network(images))):
            assert output is not None
            (output.square().sum() * (1 + number)).backward(retain_graph=number == 0)
    gradients = dict(theirs.named_parameters())
    for name, value in ours.named_parameters():
        torch.testing.assert_close(value.grad, gradients[name].grad, rtol=1e-6, atol=1e-9)
    statistics = dict(theirs.named_buffers())
    for name, value in ours.named_buffers():
        torch.testing.assert_close(value, statistics[name])
