"""What all scripts share: values in any case, and options that would be ignored are refused."""

import argparse
import csv
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sts.base.logs import INSTALLED_COMMANDS
from sts.cli import augment, baseline, calcium, data, sts
from sts.cli.augment import make_augment_parser as augment_parser
from sts.cli.baseline import make_baseline_parser
from sts.cli.calcium import make_calcium_parser
from sts.cli.data import main, make_data_parser
from sts.cli.flags import SELECTION, given_options, reading_of
from sts.cli.run import Status
from sts.cli.sts import make_sts_parser
from sts.datasets.build_files import MANIFEST_NAME
from sts.datasets.cell_results import BuildSettings
from sts.signals.quality import ALLEN, QUALITY, QualitySettings
from tests.conftest import REPOSITORY
from tests.studies.cells import write_cell

Main = Callable[[Sequence[str]], int]
# Half a second is what a person takes for at once, of one core's time: others share the machine.
AT_ONCE_S = 0.5


@pytest.mark.parametrize("words", ["1 train none", "1 Predict full", "1 TEST None"])
def test_modes_are_taken_in_any_case(words: str) -> None:
    args = sts.make_sts_parser().parse_args(words.split())
    assert [args.mode, args.freeze] == words.upper().split()[1:]


def test_values_are_taken_in_any_case() -> None:
    words = "1 TRAIN --group-by Donor --weights IMAGENET --wandb Off --device CUDA:1"
    args = sts.make_sts_parser().parse_args(words.split())
    found = (args.group_by, args.weights, args.wandb, args.device)
    assert found == ("donor", "imagenet", "off", "cuda:1")
    assert (
        sts.make_sts_parser().parse_args(["1", "TRAIN", "--weights", "My/W.pt"]).weights
        == "My/W.pt"
    )
    args = baseline.make_baseline_parser().parse_args(
        ["test", "--model", "LightGBM", "--features", "Paper"]
    )
    assert (args.mode, args.model, args.features) == ("TEST", "lightgbm", "paper")
    args = augment_parser().parse_args(
        ["--method", "SMOTE", "Gan", "--task", "ME", "--protocol", "CV"]
    )
    assert (args.method, args.task, args.protocol) == (["smote", "gan"], "me", "cv")
    args = data.make_data_parser().parse_args(["features", "x", "--absolute-times", "patchseq"])
    assert args.absolute_times == "PatchSeq"


def test_what_was_typed_is_known_from_what_was_not() -> None:
    parser = sts.make_sts_parser()
    assert given_options(parser, ["1", "TRAIN", "-v"]) == {}
    given = given_options(parser, ["1", "TRAIN", "--seed", "0", "--compile"])
    assert given == {"seed": "--seed", "compile": "--compile"}


@pytest.mark.parametrize(
    ("main", "words", "line"),
    [
        (sts.main, "1 TEST --trials 3", "--trials belongs to TRAIN, and TEST would ignore it"),
        (sts.main, "1 EXPLAIN --weights none", "--weights belongs to TRAIN"),
        (sts.main, "1 TRAIN --cells 5", "--cells belongs to EXPLAIN, and TRAIN"),
        (sts.main, "1 PREDICT --recordings x --data y", "--data belongs to TRAIN and TEST and"),
        (sts.main, "1 TRAIN --recordings x", "--recordings belongs to PREDICT"),
        (sts.main, "5 PREDICT --recordings x --one-sweep", "--one-sweep belongs to TRAIN"),
        (sts.main, "5 TRAIN --rigs varied", "--rigs chooses the simulated cells of --demo"),
        (sts.main, "5 TRAIN --demo --data x --rigs varied", "--demo, without --data"),
        (baseline.main, "TEST --folds 4", "--folds belongs to TRAIN, and TEST"),
        (baseline.main, "PREDICT --table t.csv --labels l.csv", "--labels belongs to TRAIN and"),
        (baseline.main, "--recordings x", "--recordings belongs to PREDICT, and TRAIN"),
        (
            data.main,
            "build x --out y --resume --force",
            "--resume keeps the results that exist and",
        ),
        (data.main, "features x --out y --force --resume", "give one of the two"),
        (augment.main, "--resume --force", "give one of the two"),
    ],
)
def test_what_would_be_ignored_is_refused_in_a_line(
    main: Main, words: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), "--root", str(tmp_path)]) == Status.USER
    output = capsys.readouterr().err.splitlines()
    assert len(output) == 1
    assert output[0].startswith("error: ")
    assert line in output[0]
    assert list(tmp_path.iterdir()) == []


def test_training_a_generator_without_data_says_what_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calcium.main(["train", "--root", str(tmp_path)]) == Status.USER
    (output,) = capsys.readouterr().err.splitlines()
    assert "simulate it first with `calcium_gan.py dg`" in output
    assert "--recording FILE" in output


def time_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# All other large libraries load numpy.
HEAVY = {"numpy", "torch", "wandb"}


@pytest.mark.parametrize(
    "words",
    [*INSTALLED_COMMANDS, "data_pipeline.py build", "data_pipeline.py figure", "calcium_gan.py dg"],
)
def test_help_comes_at_once_and_loads_no_library(words: str) -> None:
    script, *command = words.split()
    code = (
        "import runpy, sys\n"
        f"sys.argv = {[script, *command, '--help']}\n"
        "try:\n"
        f"    runpy.run_path({str(REPOSITORY / 'source' / script)!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    before = time_of_children()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.decode().startswith(f"usage: {words} ")
    assert time_of_children() - before < AT_ONCE_S


def flags_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Yield the flags of a parser and of its commands, each with the call that takes it."""
    for action in parser._actions:
        yield parser.prog, action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags_of(command)


@pytest.mark.parametrize(
    "make",
    [make_sts_parser, make_baseline_parser, augment_parser, make_calcium_parser, make_data_parser],
)
def test_every_flag_has_a_word_of_help(make: Callable[[], argparse.ArgumentParser]) -> None:
    for prog, action in flags_of(make()):
        is_command = isinstance(action, argparse._SubParsersAction)
        assert action.help or is_command, f"{prog} {action.option_strings}"


@pytest.mark.parametrize(("script", "command"), INSTALLED_COMMANDS.items())
def test_the_usage_line_names_what_was_typed(
    script: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mains = {"sts": sts, "baseline": baseline, "augment": augment, "calcium": calcium, "data": data}
    module = {"sts-pipeline": "sts"}.get(command, command.removeprefix("sts-"))
    for typed, other in ((script, command), (command, script)):
        monkeypatch.setattr("sys.argv", [f"/somewhere/{typed}"])
        with pytest.raises(SystemExit):
            mains[module].main(["--help"])
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: {typed} ")
        assert other not in shown


# Which command takes them, and how it is called.
READERS = {
    "build": (make_data_parser, ["build", "x"]),
    "features": (make_data_parser, ["features", "x"]),
    "show": (make_data_parser, ["show", "x"]),
    "PREDICT of networks": (make_sts_parser, ["1", "PREDICT"]),
    "PREDICT of tables": (make_baseline_parser, ["PREDICT"]),
}


@pytest.mark.parametrize("name", READERS)
def test_every_command_that_reads_recordings_takes_the_same_flags(name: str) -> None:
    make_parser, words = READERS[name]
    parse = make_parser().parse_args
    typed = [
        "--min-step",
        "0.4",
        "--max-step",
        "2",
        "--step-tolerance",
        "20",
        "--hero",
        "--quality",
        "Allen",
    ]
    reading = reading_of(parse([*words, *typed]))
    select = reading.select
    assert (select.min_step_s, select.max_step_s, select.step_tolerance_pa) == (0.4, 2.0, 20.0)
    assert select.hero
    assert reading.quality == QUALITY["allen"]
    assert reading_of(parse(words)) == BuildSettings()
    assert set(SELECTION) <= set(vars(parse(words)))


def test_features_are_measured_on_steps_of_the_lengths_that_are_asked_for() -> None:
    parse = make_data_parser().parse_args

    def lengths_s(*typed: str) -> object:
        args = parse(["features", "x", *typed])
        return reading_of(args, store=False, features=True).feature_steps_s

    assert lengths_s() is None
    assert lengths_s("--min-step", "0.9") == (0.9, 2.0)
    assert lengths_s("--min-step", "1.5") == (1.5, 2.0)
    assert lengths_s("--max-step", "0.6") == (0.4, 0.6)


def features_of(folder: Path, out: Path, *typed: str) -> dict[str, str]:
    words = ["features", str(folder), "--out", str(out), "--workers", "1", "-q", *typed]
    assert data.main([*words, "--root", str(folder.parent)]) == Status.DONE
    with (out / "features.csv").open() as file:
        (row,) = csv.DictReader(file)
    return row


def test_a_length_decides_which_long_squares_features_are_measured_on(tmp_path: Path) -> None:
    write_cell(tmp_path / "new", "501", step_s=0.5)
    row = features_of(tmp_path / "new", tmp_path / "all")
    assert row["status"] == "ok"
    row = features_of(tmp_path / "new", tmp_path / "long", "--min-step", "0.9")
    assert row["status"] == "excluded"
    assert row["reason"] == "step lasts 0.5 s: wanted 0.9 to 2 s; open with --min-step"


def test_the_advice_of_show_can_be_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_cell(tmp_path / "new", "501", step_s=0.5)
    words = ["show", str(path), "--root", str(tmp_path), "-q"]
    assert data.main(words) == Status.USER
    assert "open with --min-step" in capsys.readouterr().err
    assert data.main([*words, "--min-step", "0.4"]) == Status.DONE
    assert capsys.readouterr().out.splitlines()[0].endswith(".png")
    assert data.main(["show", "501", "--root", str(tmp_path), "--min-step", "0.4"]) == Status.USER
    assert "--min-step belongs to recordings" in capsys.readouterr().err


def test_nonsense_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_cell(tmp_path / "new", "501")
    words = ["show", str(path), "--root", str(tmp_path), "-q"]
    for typed, output in {
        "--min-step 3": "the shortest length",
        "--quality alen": "did you mean 'allen'",
    }.items():
        assert data.main([*words, *typed.split()]) == Status.USER
        (line,) = capsys.readouterr().err.splitlines()
        assert output in line
    for typed in ("--min-step nan", "--step-tolerance nan"):
        with pytest.raises(SystemExit) as ended:
            data.main([*words, *typed.split()])
        assert ended.value.code == Status.USER
        assert f"{typed.split()[0]}: wanted a number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "noise_mv"), [("usual", 0.5), ("allen", 0.07), ("off", None), ("FILE", 0.2)]
)
def test_the_command_takes_bounds_by_name_or_from_a_file(
    tmp_path: Path, asked: str, noise_mv: float | None
) -> None:
    folder = tmp_path / "recordings"
    write_cell(folder, "101")
    file = tmp_path / "bounds.json"
    file.write_text('{"noise_mv": 0.2}')
    out = tmp_path / "out"
    quality = str(file) if asked == "FILE" else asked
    for command in ("build", "features"):
        arguments = [command, str(folder), "--out", str(out), "--quality", quality]
        assert main([*arguments, "--workers", "1"]) == 0
    settings = json.loads((out / MANIFEST_NAME).read_text())
    for product in ("store", "features"):
        bounds = settings[product]["settings"]["quality"]
        assert (bounds and bounds["noise_mv"]) == noise_mv


def test_an_unknown_name_of_bounds_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "recordings"
    write_cell(folder, "101")
    assert main(["build", str(folder), "--out", str(tmp_path / "o"), "--quality", "alen"]) == 2
    assert "did you mean 'allen'" in capsys.readouterr().err


def test_the_help_tells_the_bounds_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_data_parser().parse_args(["build", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    usual = QualitySettings()
    assert (
        f"usual (noise {usual.noise_mv:g} mV rms within 1.5 ms, slow noise {usual.slow_noise_mv:g} "
        f"mV rms, drift {usual.drift_mv:g} mV, rest {usual.rest_mv:g} mV, "
        f"{usual.amplitude_error:.0%}".replace("%", " %")
        in told
    )
    assert (
        f"allen (noise {ALLEN.noise_mv:g} mV, slow noise {ALLEN.slow_noise_mv:g} mV, "
        f"drift {ALLEN.drift_mv:g} mV, else as usual)" in told
    )
