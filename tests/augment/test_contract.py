"""The table of generators, and the settings they come with."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from sts.augment.contract import (
    GENERATORS,
    METHODS,
    TUNED,
    change_settings,
    make_generator,
    read_tuned_settings,
)
from sts.augment.settings import (
    AdasynSettings,
    ArfSettings,
    BorderlineSettings,
    DdpmSettings,
    FlowSettings,
    FrameSettings,
    GanSettings,
    LayerSettings,
    LoopSettings,
    MixtureSettings,
    MixupSettings,
    SmoteSettings,
    VaeSettings,
)
from sts.base.errors import StsError
from sts.base.files import read_json


def test_the_five_methods_of_the_paper_stand_in_the_table() -> None:
    assert set(METHODS) < set(GENERATORS)


def test_the_nearest_method_is_named_for_an_unknown_one() -> None:
    with pytest.raises(StsError, match="did you mean 'smote'"):
        make_generator("smotte")


def test_only_changes_of_classifiers_add_no_row() -> None:
    without = [name for name, method in GENERATORS.items() if not method.adds_rows]
    assert without == ["weights", "priors", "thresholds"]


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("task", ["e", "me", "never heard of"])
def test_every_method_has_settings_for_every_task(name: str, task: str) -> None:
    assert isinstance(read_tuned_settings(name, task), GENERATORS[name].settings)
    assert make_generator(name, task=task).notes == ()


def test_tuned_settings_tell_how_they_were_found() -> None:
    content = read_json(TUNED)
    assert content["how"]
    # Only neurons of E are on the list of those that no fold scores.
    assert set(content["tasks"]) == {"e"}
    for task in content["tasks"].values():
        assert {name for name, method in GENERATORS.items() if method.deep} <= set(task)
        for found in task.values():
            assert found["folds"] >= 1
            best = max(one["macro_f1"] for one in found["tried"] if one["nearest"] >= 0.8)
            chosen = [one for one in found["tried"] if one["settings"] == found["settings"]]
            assert [one["macro_f1"] for one in chosen] == [best]


def test_values_within_settings_change_one_by_one() -> None:
    settings = change_settings(GanSettings(), {"noise": 3, "loop": {"batch": 7}})
    loop = replace(GanSettings().loop, batch=7)
    assert settings == replace(GanSettings(), noise=3, loop=loop)


def test_an_unknown_name_within_settings_is_refused() -> None:
    with pytest.raises(StsError, match="did you mean 'batch'"):
        make_generator("gan", settings={"loop": {"batsh": 7}})


def test_settings_of_another_method_are_refused() -> None:
    with pytest.raises(ValueError, match="gan needs GanSettings, not VaeSettings"):
        make_generator("gan", settings=VaeSettings())


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (SmoteSettings, {"neighbours": 0}),
        (BorderlineSettings, {"border_neighbours": 0}),
        (AdasynSettings, {"neighbours": 0}),
        (FrameSettings, {"shape_rows": 0.0}),
        (MixupSettings, {"alpha": 0.0}),
        (MixtureSettings, {"components": 0}),
        (ArfSettings, {"leaf_rows": 0}),
        (LoopSettings, {"steps": 0}),
        (LoopSettings, {"learning_rate": 0.0}),
        (LoopSettings, {"held_out": 1.0}),
        (LoopSettings, {"weight_decay": -1.0}),
        (LayerSettings, {"width": 0}),
        (LayerSettings, {"dropout": 1.0}),
        (GanSettings, {"critic_steps": 0}),
        (GanSettings, {"penalty": 0.0}),
        (VaeSettings, {"beta": 0.0}),
        (FlowSettings, {"transforms": 0}),
        (DdpmSettings, {"sampling_steps": 1001}),
        (DdpmSettings, {"guidance": -1.0}),
        (DdpmSettings, {"unlabelled": 1.0}),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: type, values: dict[str, Any]) -> None:
    with pytest.raises(StsError, match=next(iter(values))):
        settings(**values)


def test_the_table_does_not_import_torch() -> None:
    code = "import sts.augment.contract, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
