"""deconvolve, dg and generate on files of others, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sts.base.types import Floats
from sts.calcium.fluorescence import CalciumModel, OasisSettings, deconvolve, simulate_fluorescence
from sts.calcium.readers import read_calcium
from sts.cli.calcium import main
from sts.cli.run import Status

RATE_HZ = 25.0
PLAIN = OasisSettings(smallest=0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    return tmp_path


def trials(lengths: tuple[int, ...]) -> list[tuple[Floats, Floats]]:
    """Return calcium and spikes of so many frames each."""
    rng = np.random.default_rng(0)
    spikes = [(rng.random(n) < 0.05).astype(np.float64) for n in lengths]
    return [
        (simulate_fluorescence(each, CalciumModel(), rng).astype(np.float64), each)
        for each in spikes
    ]


def write_cascade(path: Path, lengths: tuple[int, ...]) -> None:
    cells = np.empty((1, len(lengths)), dtype=object)
    for index, (traces, spikes) in enumerate(trials(lengths)):
        cells[0, index] = {
            "fluo_time": np.arange(len(traces)) / RATE_HZ,
            "fluo_mean": traces,
            # in 0.1 ms
            "events_AP": np.flatnonzero(spikes) / RATE_HZ * 1e4,
        }
    savemat(path, {"CAttached": cells})


def run(root: Path, *words: str) -> int:
    return main([*words, "--root", str(root), "-q", "-q"])


def test_trials_keep_their_lengths(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = (400, 20, 250)
    write_cascade(root / "a.mat", lengths)
    out = root / "a.npz"
    words = ("deconvolve", "--recording", str(root / "a.mat"), "--smallest", "0")
    assert run(root, *words, "--out", str(out)) == Status.DONE
    found = np.load(out)
    assert found["frames"].tolist() == list(lengths)
    for index, (traces, _) in enumerate(trials(lengths)):
        alone = np.zeros(400)
        if len(traces) >= 32:
            alone[: len(traces)] = deconvolve(traces, PLAIN).spikes
        # the trace went through float32
        assert np.abs(found["spikes"][index] - alone).max() < 1e-4
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    assert float(rows[0][-1]) > 0.6  # noise is a third of a spike
    # too short to tell: without spikes
    assert rows[1][1:] == ["0.00", "nan"]


def test_one_neuron_of_any_file_is_deconvolved(root: Path) -> None:
    ((traces, _),) = trials((300,))
    np.save(root / "a.npy", traces[None])
    words = ("--recording", str(root / "a.npy"), "--rate", "25", "--out", str(root / "a.npz"))
    assert run(root, "deconvolve", *words, "--smallest", "0") == Status.DONE
    found = np.load(root / "a.npz")
    assert np.abs(found["spikes"][0] - deconvolve(traces, PLAIN).spikes).max() < 1e-4  # float32
    assert json.loads(str(found["settings"]))["oasis"]["smallest"] == 0.0


def test_where_nothing_is_found_it_is_said_what_to_try(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((traces, _),) = trials((300,))
    np.save(root / "a.npy", traces[None] / 1000)
    words = ("deconvolve", "--recording", str(root / "a.npy"), "--rate", "25")
    assert main([*words, "--out", str(root / "a.npz"), "--root", str(root)]) == Status.DONE
    assert "no spike is found in a.npy" in capsys.readouterr().err


def test_a_noise_that_is_given_is_used(root: Path) -> None:
    np.save(root / "a.npy", np.stack([traces for traces, _ in trials((600, 600))]))
    words = ["deconvolve", "--recording", str(root / "a.npy"), "--rate", "25", "--penalty", "auto"]
    left = []
    for deviation in (0.32, 0.4):
        given = ("--deviation", str(deviation), "--out", str(root / "a.npz"))
        assert run(root, *words, *given) == Status.DONE
        residual = np.load(root / "a.npz")["calcium"] - np.load(root / "a.npy")
        left.append(float(np.sqrt(np.mean(residual**2))))
    # found by halving until far below this
    assert left == pytest.approx([0.32, 0.4], rel=0.01)


def test_statistics_are_measured_whatever_the_units(root: Path) -> None:
    """Of a recording without true spikes, in thousandths of what a spike is elsewhere."""
    rng = np.random.default_rng(1)
    spikes = rng.random((3, 6000)) < np.array([[0.02], [0.04], [0.08]])
    traces = (
        500 + simulate_fluorescence(spikes.astype(np.uint8), CalciumModel(noise=0.1), rng) / 1000
    )
    np.save(root / "a.npy", traces)
    words = ("--measure", str(root / "a.npy"), "--rate", "25", "--frames", "6000")
    assert run(root, "dg", *words, "--name", "like") == Status.DONE
    made = read_calcium(root / "data" / "calcium" / "like.h5")
    assert made.spikes is not None
    # neighbours merge and are missed: a third of them, where they are densest
    assert made.spikes.mean(axis=1) == pytest.approx([0.02, 0.04, 0.08], rel=0.4)


def test_data_are_read_and_written_where_they_are_said_to_be(root: Path) -> None:
    words = ("--data", str(root / "elsewhere"), "--neurons", "3", "--frames", "500")
    assert run(root, "dg", *words) == Status.DONE
    assert (root / "elsewhere" / "calcium" / "ground-truth.h5").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dg", "--mean-rate", "50"], "above 0 and below half of the 24 frames"),
        (["deconvolve", "--recording", "/dev/null"], "is no file and no folder"),
    ],
)
def test_what_the_user_must_change_is_told_in_one_line(
    root: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, *words) == Status.USER
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1


def test_the_nearest_generator_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "models" / "CalciumGAN" / "mouse").mkdir(parents=True)
    assert run(root, "generate", "--name", "mose") == Status.USER
    assert "did you mean 'mouse'? choose from mouse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "unknown command 'trian': did you mean 'train'?"),
        (["dg", "--name", "../../x"], "a name must have at most 100 letters"),
        (["dg", "--frames", "100000000000"], "--frames: wanted a whole number of at least 1"),
        (["deconvolve", "--rate", "-3"], "--rate: wanted a number of above 0"),
        (["deconvolve", "--resample", "0"], "--resample: wanted a number of above 0"),
    ],
)
def test_what_cannot_be_meant_is_told(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
