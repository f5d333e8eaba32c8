"""A stored model answers as before, or says what is wrong with it."""

import errno
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base import model_files
from sts.base.errors import StsError
from sts.datasets.feature_sets import with_features
from sts.tabular.checkpoint import (
    Baseline,
    BaselineCard,
    baseline_folder,
    load_baseline,
    load_card,
    save_baseline,
)
from sts.tabular.models import MODELS, find_kind
from sts.tabular.novelty import measure_novelty
from tests.base.tampering import WAYS, check_refusal, tamper
from tests.datasets.ep_worlds import make_table
from tests.tabular.test_models import QUICK, small_members

__all__ = ["small_members"]

NAMES = ("vrest", "ri", "sag", "tau", "latency", "threshold_i_ramp", "height_ramp", "log_isi")


def make_model(name: str = "lightgbm", **changed: Any) -> Baseline:
    table = with_features(make_table(80), NAMES)
    kind = find_kind(name)
    card = BaselineCard(
        name=kind.title,
        model=name,
        features="some",
        names=NAMES,
        temperature=1.5,
        settings=vars(kind.make_settings(QUICK[name])),
        **changed,
    )
    settings = kind.make_settings(QUICK[name])
    return Baseline(
        classifier=kind.fit(table.X, table.truth, settings, seed=0, names=NAMES),
        card=card,
        novelty=measure_novelty(table.X, table.X),
        X=table.X,
        y=table.truth,
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = baseline_folder(tmp_path, "lightgbm", "some")
    save_baseline(folder, make_model())
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model_answers_as_before(tmp_path: Path, name: str) -> None:
    model = make_model(name)
    folder = baseline_folder(tmp_path, name, "some")
    card = save_baseline(folder, model)
    again = load_baseline(folder)
    assert again.card == card
    shown = with_features(make_table(40, seed=9), NAMES).X
    np.testing.assert_array_equal(again.probabilities(shown), model.probabilities(shown))
    np.testing.assert_array_equal(again.novelty.distances(shown), model.novelty.distances(shown))
    files = {"model.json", "cells.safetensors", *(["model.txt"] if name == "lightgbm" else [])}
    assert {path.name for path in folder.iterdir()} == files


def test_it_stands_in_the_folder_of_its_kind_and_features(tmp_path: Path) -> None:
    folder = baseline_folder(tmp_path, "lightgbm", "engineered")
    assert folder == tmp_path / "LightGBM_best_models" / "engineered"


@pytest.mark.parametrize("name", ["model.txt", "cells.safetensors"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_is_found(stored: Path, name: str, harm: str) -> None:
    path = stored / name
    raw = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw if harm == "flip" else raw[:-100])
    with pytest.raises(StsError, match="train the model again"):
        load_baseline(stored)


def edit(folder: Path, **changed: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"format": "sts-baseline 0"}, "no card of format"),
        ({"sha256": {}}, "does not name the files"),
        ({"formulas": {"height_ramp": "peak_v_ramp"}}, "derives height_ramp in another way"),
        ({"names": ["vrest", "tau"]}, "does not contain the features"),
        ({"temperature": 3.0}, "gives other probabilities"),
        ({"model": "lightgbn"}, "does not name the files"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    stored: Path, changed: dict[str, Any], line: str
) -> None:
    edit(stored, **changed)
    with pytest.raises(StsError, match=line):
        load_baseline(stored)


def test_a_repeated_fit_that_comes_out_otherwise_is_refused(tmp_path: Path) -> None:
    save_baseline(tmp_path, make_model("logistic"))
    edit(tmp_path, settings={"C": 1e-4, "class_weight": None})
    with pytest.raises(StsError, match="gives other probabilities than when it was stored under"):
        load_baseline(tmp_path)


def test_without_a_model_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"train it with `baseline_pipeline\.py TRAIN`"):
        load_card(tmp_path)


def test_a_writer_that_is_killed_leaves_the_old_model_or_none(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (stored / "model.json").read_bytes()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_files.Writing, "add_card", die)
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        save_baseline(stored, replace(model, card=replace(model.card, temperature=2.0)))
    assert (stored / "model.json").read_bytes() == before
    assert load_baseline(stored).card.temperature == 1.5
    assert [path.name for path in stored.parent.iterdir()] == ["some"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["lightgbm", "logistic"])
def test_a_model_that_was_tampered_with_is_refused_in_one_line(
    tmp_path: Path, name: str, way: str
) -> None:
    folder = baseline_folder(tmp_path, name, "some")
    save_baseline(folder, make_model(name))
    tamper(folder, way)
    check_refusal(lambda: load_baseline(folder))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"features": "../../../tmp"}, "a name must have at most 100 letters"),
        ({"times": "now"}, "contradicts itself"),
        ({"settings": {"num_leaves": 10**9}}, "num_leaves must be"),
        ({"settings": {"leaves": 3}}, "unknown name"),
        ({"names": []}, "names no features"),
        ({"names": ["vrest"] * 8}, "names no features, or one of them twice"),
        ({"seed": -1}, "seed must be"),
        ({"novelty": {"neighbours": 10**9}}, "neighbours must be"),
        ({"novelty": {"neighbours": 900}}, "takes 900 neighbours of"),
        ({"novelty": {"percentile": 0}}, "percentile must be"),
        ({"probe": [[0.25] * 4, [0.5] * 2]}, "probe must be"),
        ({"probe": [[0.25] * 4] * 3}, "gives other probabilities"),
        ({"data": {"training_fingerprint": ["a"]}}, "training cells by a digest"),
    ],
)
def test_a_card_of_no_sense_is_refused(stored: Path, change: dict[str, Any], line: str) -> None:
    edit(stored, **change)
    with pytest.raises(StsError, match=line):
        load_baseline(stored)


def test_a_fit_that_would_take_for_ever_is_not_begun(tmp_path: Path) -> None:
    for name, settings in (
        ("svm", {"C": 1e300}),
        ("extra-trees", {"n_estimators": 10**9}),
        ("hist-boosting", {"max_iter": 10**9}),
        ("stack", {"parts": 1000}),
    ):
        folder = tmp_path / name
        save_baseline(folder, make_model("logistic"))
        title = find_kind(name).title
        edit(folder, model=name, name=title, settings=settings)
        with pytest.raises(StsError, match=f"{next(iter(settings))} must be"):
            load_baseline(folder)


def test_a_model_of_other_cells_is_kept_under_its_date(stored: Path) -> None:
    model = make_model()
    first, second = (replace(model.card, data={"training_fingerprint": name}) for name in "ab")
    save_baseline(stored, replace(model, card=first))
    kept = [path for path in stored.parent.iterdir() if path != stored]
    # The one that the fixture left named no cells.
    assert len(kept) == 1
    assert re.fullmatch(r"some-\d{8}-\d{6}", kept[0].name)
    # The same cells again: nothing to keep.
    save_baseline(stored, replace(model, card=replace(first, temperature=2.0)))
    assert len(list(stored.parent.iterdir())) == 2
    assert load_baseline(stored).card.temperature == 2.0
    save_baseline(stored, replace(model, card=second))
    assert len(list(stored.parent.iterdir())) == 3
    for path in stored.parent.iterdir():
        assert load_baseline(path)


def test_a_full_disk_leaves_the_old_model(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in stored.iterdir()}
    write = Path.write_bytes

    for full in ("cells.safetensors", "model.txt", "model.json"):

        def fail(path: Path, content: bytes, full: str = full) -> int:
            if path.name == full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(path, content)

        monkeypatch.setattr(Path, "write_bytes", fail)
        model = make_model(data={"training_fingerprint": "other"})
        with pytest.raises(StsError, match=r"cannot write .*some: the disk is full"):
            save_baseline(stored, model)
        monkeypatch.undo()
        assert {path.name: path.read_bytes() for path in stored.iterdir()} == before
        assert [path.name for path in stored.parent.iterdir()] == ["some"]
