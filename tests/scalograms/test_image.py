"""Sources of images: traces and published files behind one interface."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.scalograms.bank import ImageBank
from sts.scalograms.image import (
    ImageSettings,
    ImageSource,
    PlainSource,
    PublishedSource,
    RowNumbers,
    TraceSource,
    find_published,
    has_published,
    read_published,
)
from sts.scalograms.transform import compute_scalograms

SETTINGS = ImageSettings(height=40, width=50, parity="pywt")
PLACES = [
    ("PatchClamp", "PatchClampGouwensCWT"),
    ("PatchClamp", "PatchClampGouwens_CWT"),
    ("PatchSeq", "PatchSeqGouwensCWT"),
    ("PatchSeq", "PatchSeqGouwens_CWT"),
]


def publish(folder: Path, specimen_id: str, array: Floats) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cell_{specimen_id}.npy"
    np.save(path, array, allow_pickle=False)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, traces: Floats) -> Path:
    """A data folder with the scalograms of three cells, in the published layout."""
    data = tmp_path_factory.mktemp("data")
    for at, specimen_id in enumerate(["101", "102", "103"]):
        scalograms = compute_scalograms(traces[at], parity="pywt").transpose(1, 2, 0)
        kind = np.float64 if at == 0 else np.float32
        publish(data / "PatchClampGouwens_CWT", specimen_id, scalograms.astype(kind))
    return data


def both(published: Path, traces: Floats, settings: ImageSettings) -> list[ImageSource]:
    paths = [find_published(published, "PatchClamp", str(at)) for at in (101, 102, 103)]
    return [TraceSource(traces[:3], settings), PublishedSource(paths, settings)]


def images_of(
    source: ImageSource, rows: RowNumbers, settings: ImageSettings | None = None
) -> torch.Tensor:
    return ImageBank(source, settings or source.settings, budget_bytes=0).images(rows)


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        ImageSettings(height=224, width=244, parity="pywt"),
        ImageSettings(height=40, width=50, parity="pywt", antialias=True),
        ImageSettings(
            height=40, width=50, parity="pywt", mean=(1.0, 2.0, 3.0), deviation=(4.0, 5.0, 6.0)
        ),
    ],
)
def test_published_scalograms_give_the_images_of_their_traces(
    published: Path, traces: Floats, settings: ImageSettings
) -> None:
    computed, read = both(published, traces, settings.plain)
    assert len(computed) == len(read) == 3
    assert computed.settings == read.settings == settings.plain
    ours, theirs = (images_of(source, [0, 1, 2], settings) for source in (computed, read))
    # The tolerance of the image path; the largest coefficient of these traces is above 100.
    assert float((ours - theirs).abs().max()) < 1e-4 * 100
    assert ours.dtype == theirs.dtype == torch.float32


def test_rows_come_in_the_order_asked_for(published: Path, traces: Floats) -> None:
    for source in both(published, traces, SETTINGS):
        apart = [images_of(source, [row])[0] for row in (2, 0, 2)]
        for rows in ([2, 0, 2], np.array([2, 0, 2])):
            assert torch.equal(images_of(source, rows), torch.stack(apart))
        assert images_of(source, []).shape == (0, 3, 40, 50)


def test_channels_are_the_first_two_colours(published: Path, traces: Floats) -> None:
    for source in both(published, traces, SETTINGS):
        pieces = [piece.clone() for piece in source.channels([2, 0, 2])]
        assert torch.equal(torch.cat(pieces), images_of(source, [2, 0, 2])[:, :2])


@pytest.mark.parametrize(("dataset", "folder"), PLACES)
def test_both_spellings_of_a_folder_are_found(tmp_path: Path, dataset: str, folder: str) -> None:
    assert not has_published(tmp_path)
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "cell_7.npy"
    path.touch()
    assert has_published(tmp_path)
    assert find_published(tmp_path, dataset, "7") == path
    # Labels of one's own may not tell.
    assert find_published(tmp_path, "", "7") == path


def test_a_missing_cell_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"cell 42: looked for .*CWT.cell_42.npy and .*_CWT.cell_42"):
        find_published(tmp_path, "PatchSeq", "42")
    with pytest.raises(StsError, match=r"no published scalogram at .*cell_42.npy"):
        read_published(tmp_path / "cell_42.npy")
    with pytest.raises(StsError, match="is no specimen id"):
        find_published(tmp_path, "PatchSeq", "../42")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((180, 4800)), r"must contain \(180, 4800, 2\) of floating-point numbers, not"),
        (np.zeros((2, 180, 4800), np.float32), r"not \(2, 180, 4800\) of float32"),
        (np.zeros((180, 4800, 2), np.int16), r"not \(180, 4800, 2\) of int16"),
        (np.zeros((180, 4800, 2), np.complex64), r"not \(180, 4800, 2\) of complex64"),
    ],
)
def test_a_wrong_array_is_refused_by_name(tmp_path: Path, array: Floats, message: str) -> None:
    path = publish(tmp_path, "9", array)
    with pytest.raises(StsError, match=rf"cell_9\.npy .*{message}"):
        read_published(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"no array at all" * 20, b"PK\3\4"])
def test_a_file_that_is_no_array_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cell_9.npy"
    path.write_bytes(content)
    with pytest.raises(StsError, match=r"cell_9\.npy is no \.npy array"):
        read_published(path)


def test_a_torn_file_and_a_pickle_are_refused_by_name(tmp_path: Path) -> None:
    torn = publish(tmp_path, "1", np.zeros((180, 4800, 2), np.float32))
    torn.write_bytes(torn.read_bytes()[:100_000])
    pickled = tmp_path / "cell_2.npy"
    np.save(pickled, np.array([{}, None]), allow_pickle=True)
    for path in (torn, pickled):
        with pytest.raises(StsError, match=rf"{path.name} is no \.npy array"):
            read_published(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_file_with_what_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    array = np.zeros((180, 4800, 2))
    # One value between the columns that an image shows.
    array[90, 2001, 1] = value
    with pytest.raises(StsError, match=r"cell_5\.npy contains values that are not finite"):
        read_published(publish(tmp_path, "5", array))


def test_images_that_a_source_has_in_memory_are_not_copied(published: Path) -> None:
    path = find_published(published, "PatchClamp", "101")
    published_source = PublishedSource([path, path], SETTINGS)
    one_row = ImageSettings(height=1, width=4800, content="trace")
    traces = PlainSource(np.zeros((2, 2, 4800), dtype=np.float32), one_row)
    for source in (published_source, traces):
        # The bank has no budget, and needs none.
        bank = ImageBank(source, source.settings, budget_bytes=0)
        bank.images([1, 0])
        assert bank._raw._kept is source.kept


def test_one_bad_file_does_not_keep_others_from_being_used(published: Path, tmp_path: Path) -> None:
    bad = tmp_path / "cell_9.npy"
    bad.write_bytes(b"no")
    good = [find_published(published, "PatchClamp", at) for at in ("101", "102")]
    seen: list[None] = []
    source = PublishedSource([good[0], bad, good[1]], SETTINGS, on_cell=lambda: seen.append(None))
    assert len(seen) == 3
    assert list(source.faults) == [1]
    assert str(source.faults[1]).startswith(f"{bad} is no .npy array")
    assert len(source) == 2
    wanted = images_of(PublishedSource(good, SETTINGS), [0, 1])
    assert torch.equal(images_of(source, [0, 1]), wanted)
