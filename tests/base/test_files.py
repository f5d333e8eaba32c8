"""A file is whole or the old one; a CSV comes back as it went and holds no formula."""

import contextlib
import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.files import (
    atomic_path,
    is_temporary,
    make_folder,
    read_csv,
    read_json,
    sha256_of,
    sweep_temporaries,
    write_csv,
    write_json,
    write_text,
)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Give up the rights of root, who may write everywhere, for the length of a block."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    # pytest's own folders are closed to everyone else: this one must be open up to the last step.
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    closed = top / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    yield closed
    closed.chmod(0o755)
    shutil.rmtree(top)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_text("half a fi")
        raise KeyError
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from sts.base.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    with temporary.open("w") as file:
        file.write("half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""

BUSY_WRITER = """
import sys
from pathlib import Path
from sts.base.files import write_json
for number in range(10_000):
    write_json(Path(sys.argv[1]), {"number": number, "filling": list(range(20_000))})
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_the_old_file_and_a_temporary_that_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    ended = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert is_temporary(left)
    # A writer that may still be at work keeps its file.
    assert sweep_temporaries(tmp_path) == 0
    assert sweep_temporaries(tmp_path, older_than_s=0) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_killed_at_any_time_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with subprocess.Popen(
        [sys.executable, "-c", BUSY_WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            seen = int(writer.stdout.readline())
        writer.kill()
    found = read_json(path)
    assert found["filling"] == list(range(20_000))
    assert found["number"] >= seen


def test_sweeping_leaves_other_hidden_files(tmp_path: Path) -> None:
    for name in (".hidden", ".a.partial", "a.0123abcd.partial.h5", ".a.0123abcd.partially"):
        (tmp_path / name).write_text("")
    assert sweep_temporaries(tmp_path, older_than_s=0) == 0
    assert sweep_temporaries(tmp_path / "not there") == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with pytest.raises(StsError, match="the disk is full") as error, atomic_path(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("more than it holds")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_an_error_that_the_user_can_correct_is_reported(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(StsError, match=r"cannot write .*a\.txt: "), atomic_path(path):
        raise OSError(number, os.strerror(number))


def test_an_error_about_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path / "other.nwb"))


def test_a_closed_folder_is_reported(closed_folder: Path) -> None:
    with unprivileged():
        with pytest.raises(StsError, match=r"cannot write .*a\.json: writing is not permitted"):
            write_json(closed_folder / "a.json", {})
        with pytest.raises(StsError, match=r"cannot write .*new: writing is not permitted"):
            make_folder(closed_folder / "new")


def test_a_file_in_the_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    with pytest.raises(StsError, match="a file has the name of a needed folder"):
        write_text(tmp_path / "a" / "b.txt", "")
    with pytest.raises(StsError, match="a file has the name of a needed folder"):
        make_folder(tmp_path / "a")


def test_a_long_name_still_has_room_for_its_temporary(tmp_path: Path) -> None:
    # 255 bytes is what most file systems allow.
    path = tmp_path / ("é" * 125 + ".json")
    write_json(path, [1])
    assert read_json(path) == [1]


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "abc")
    # The test vector of FIPS 180-2.
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")


def test_json_takes_numpy_and_has_null_for_what_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {
        "n": np.int64(3),
        "x": np.array([1.5, np.nan]),
        "bad": [math.nan, math.inf, np.float32("nan")],
        "where": Path("data"),
        "yes": np.bool_(True),
        1: (1, 2),
    }
    write_json(path, value)
    assert read_json(path) == {
        "n": 3,
        "x": [1.5, None],
        "bad": [None, None, None],
        "where": "data",
        "yes": True,
        "1": [1, 2],
    }


def test_a_name_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9.nwb")
    write_json(tmp_path / "a.json", {"file": strange})
    assert read_json(tmp_path / "a.json") == {"file": strange}
    write_csv(tmp_path / "a.csv", ["file"], [{"file": strange}])
    assert read_csv(tmp_path / "a.csv", ["file"]) == [{"file": "caf\\udce9.nwb"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1,\n', "line 2: not JSON"), ("[NaN]", "NaN is not"), ("\xff", "line 1: not UTF-8")],
)
def test_a_bad_json_file_is_reported_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StsError, match=message):
        read_json(tmp_path / "a.json")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"cannot read .*a\.json: no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(StsError, match=r"cannot read .*a\.csv: no such file"):
        read_csv(tmp_path / "a.csv", [])


def random_text(rng: random.Random) -> str:
    alphabet = "aZ9é漢,;\"'=+-@\t\r\n .\x0b\x0c\x1c\x85\u2028"
    return "".join(rng.choices(alphabet, k=rng.randrange(8)))


@pytest.mark.parametrize("seed", range(20))
def test_text_survives_csv_but_for_spaces_around_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = [{"id": "x", "a": random_text(rng), "b": random_text(rng)} for _ in range(50)]
    write_csv(tmp_path / "a.csv", ["id", "a", "b"], rows)
    expected = [{key: text.strip(" ") for key, text in row.items()} for row in rows]
    assert read_csv(tmp_path / "a.csv", ["a", "b"]) == expected


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-12", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_no_text_is_a_formula(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "a.csv", ["specimen_id"], [{"specimen_id": text}])
    stored = (tmp_path / "a.csv").read_bytes().split(b"\n", 1)[1].lstrip(b'"')
    assert stored.startswith(b"'")
    assert read_csv(tmp_path / "a.csv", ["specimen_id"]) == [{"specimen_id": text}]


def test_text_that_is_no_formula_is_untouched(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["a"], [{"a": "'quoted'"}, {"a": "3-4"}])
    assert (tmp_path / "a.csv").read_text() == "a\n'quoted'\n3-4\n"


def test_numbers_are_untouched_and_exact(tmp_path: Path) -> None:
    numbers = [-1.5, 0.1, np.float64(1 / 3), np.float32(0.1), -7, np.int64(-7), 1e-300]
    write_csv(tmp_path / "a.csv", ["x"], [{"x": number} for number in numbers])
    read = [row["x"] for row in read_csv(tmp_path / "a.csv", ["x"])]
    assert read[0] == "-1.5"
    assert [type(number)(text) for number, text in zip(numbers, read, strict=True)] == numbers


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["id", "x"], [{"id": "a", "x": math.nan}, {"id": "b"}])
    write_csv(tmp_path / "b.csv", ["id", "x"], [{"id": "a", "x": None}, {"id": "b"}])
    expected = [{"id": "a", "x": ""}, {"id": "b", "x": ""}]
    assert read_csv(tmp_path / "a.csv", []) == read_csv(tmp_path / "b.csv", []) == expected


def test_a_value_without_a_column_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a column"):
        write_csv(tmp_path / "a.csv", ["id"], [{"id": "a", "lable": "Sst"}])
    assert not (tmp_path / "a.csv").exists()


def test_byte_order_mark_line_endings_blanks_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfspecimen_id, label \r\n\r\n 12 , Sst\r\n13,Pvalb\r\n\r\n")
    assert read_csv(path, ["specimen_id", "label"]) == [
        {"specimen_id": "12", "label": "Sst"},
        {"specimen_id": "13", "label": "Pvalb"},
    ]


def test_a_file_without_header_takes_the_names_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("12, Seq\n13, Clamp\n")
    assert read_csv(tmp_path / "split.csv", ["set"], header=["id", "set"]) == [
        {"id": "12", "set": "Seq"},
        {"id": "13", "set": "Clamp"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,x\n1,2\n3\n", r"a\.csv, line 3: expected 2 values, not 1"),
        ('id,x\n1,"2\n', r"a\.csv, line 2: not CSV"),
        ("id,y\n1,2\n", r"no column 'x' in .*a\.csv: its columns are id, y"),
        ("", r"no column 'x' in .*a\.csv: its columns are none"),
        ("id,x,x\n1,2,3\n", r"a column of .*a\.csv appears twice"),
    ],
)
def test_a_bad_csv_is_reported_with_file_and_line(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(StsError, match=message):
        read_csv(tmp_path / "a.csv", ["x"])


def test_a_csv_in_another_encoding_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x\n1\n\xe9\n")
    with pytest.raises(StsError, match=r"a\.csv, line 3: not UTF-8"):
        read_csv(tmp_path / "a.csv", ["x"])


def test_json_is_text_a_person_can_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == json.dumps({"b": 1, "a": "é"}, indent=2, ensure_ascii=False) + "\n"
