"""What the README and the pages of docs tell to type runs, and what they point at is there."""

import ast
import contextlib
import csv
import importlib
import io
import re
import runpy
import shlex
import shutil
import sys
import threading
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from sts.cli.augment import make_augment_parser
from sts.cli.baseline import make_baseline_parser
from sts.cli.calcium import make_calcium_parser
from sts.cli.data import make_data_parser
from sts.cli.sts import make_sts_parser
from tests.conftest import REPOSITORY
from tests.test_import_map import ORDER

SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "scripts"
]
# Folders whose content is made by runs, so that what a page tells of them need not exist.
MADE = ("data", "models", "output")
# What commands may need, behind "# needs" in the first line of their block.
NEEDS = ("data:", "a network", "a GPU", "a cluster", "a database server", "Apptainer")
# Needs that simulated recordings meet, so that these blocks are run all the same.
MET = (
    "data: a folder RECORDINGS and its labels",
    "data: a folder RECORDINGS and a table of its files",
    "data: a table of features and its labels",
    "data: recordings, and a model that was trained before",
)
NETWORK_OF_FOUR = "--length 64 --kernel 4 --units 4 4 --critic-units 4 4 --shuffle 0"
# What makes a command end in seconds: the last value of an option counts.
SMALL = {
    "source/data_pipeline.py simulate": "--cells 2 --workers 1",
    "source/data_pipeline.py build": "--workers 1",
    "source/data_pipeline.py features": "--workers 1",
    "source/baseline_pipeline.py TRAIN": "--trials 1 --folds 2 --workers 1",
    "source/baseline_pipeline.py PREDICT": "--workers 1",
    "source/augment_benchmark.py --demo": "--classifiers lda --added 20 --folds 3 --repeats 1 "
    "--no-curves --no-fidelity --workers 1",
    "source/calcium_gan.py dg": "--neurons 4 --frames 20000",
    "source/calcium_gan.py train": f"{NETWORK_OF_FOUR} --steps 2 --batch 4 --check-every 1",
    "source/calcium_gan.py generate": "--windows 4",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the documentation."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(REPOSITORY))

    def blocks(self, language: str) -> list[str]:
        pattern = rf"^```{language}\n(.*?)^```$"
        return re.findall(pattern, self.text, flags=re.MULTILINE | re.DOTALL)

    def spans(self) -> list[str]:
        # A span of code may break across two lines of a paragraph.
        prose = re.sub(r"^```.*?^```$", "", self.text, flags=re.M | re.S)
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]

    def links(self) -> list[str]:
        return [link for link in re.findall(r"\]\(([^)]+)\)", self.text) if "://" not in link]

    def anchors(self) -> set[str]:
        """Return the names that headings of the page can be linked by."""
        titles = re.findall(r"^#+ (.+)$", self.text, flags=re.MULTILINE)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def read_page(path: Path) -> Page:
    return Page(path=path, text=path.read_text(encoding="utf-8"))


README = read_page(REPOSITORY / "README.md")
DOCS = [read_page(path) for path in sorted((REPOSITORY / "docs").glob("*.md"))]
PAGES = [README, read_page(REPOSITORY / "CHANGELOG.md"), *DOCS]


def section(title: str) -> str:
    pattern = rf"^## {title}\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, README.text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def lines(text: str) -> list[str]:
    """Return the commands of a block, continued lines joined."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.lstrip().startswith("#")]


def need_of(block: str) -> str:
    """Return what the first line of a block says that its commands need, "" for nothing."""
    first = block.splitlines()[0]
    return first.removeprefix("# needs ") if first.startswith("# needs ") else ""


TYPED = sorted({line for page in PAGES for block in page.blocks("bash") for line in lines(block)})
SPANS = [span for page in PAGES for span in page.spans()]
SCRIPT = re.compile(
    r"(?<!\S)(?:(?:\S*/)?python3? )?((?:source/)?\w+\.py|benchmarks/\w+\.py|sts-\w+)(?: |$)"
)


def parts(line: str) -> list[list[str]]:
    """Split a command line at && into commands of words."""
    return [shlex.split(part) for part in line.split("&&")]


def script_calls() -> list[tuple[str, ...]]:
    """Return every call of a script of ours: the script, then its words."""
    found = set()
    for text in [*TYPED, *SPANS]:
        for part in text.split("&&"):
            # What a container or an environment runs is a command of ours behind theirs.
            call = SCRIPT.search(part.strip())
            if call and not part.strip().startswith("tests/"):
                found.add((call[1], *shlex.split(part.strip()[call.end() :])))
    return sorted(found)


CALLS = script_calls()


def path_of(script: str) -> Path:
    """Return the file behind `source/x.py`, `x.py`, `benchmarks/x.py` or a console script."""
    if script in SCRIPTS:
        # The console script and the script of the same purpose share one main().
        module = SCRIPTS[script].split(":")[0]
        text = f"from {module} import main"
        (path,) = [p for p in (REPOSITORY / "source").glob("*.py") if text in p.read_text()]
        return path
    return REPOSITORY / script if "/" in script else REPOSITORY / "source" / script


def run_script(path: Path, *words: str) -> str:
    """Run a script as if it were typed, in this process, and return what it prints.

    A process of its own would load all libraries once more, which takes longer than most commands.
    """
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [str(path), *words]),
        mock.patch.object(sys, "path", [str(path.parent), *sys.path]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
            status: object = 0
        except SystemExit as end:
            status = end.code or 0
    assert status == 0, f"{path.name} {shlex.join(words)} ends with {status}: {said.getvalue()}"
    return said.getvalue()


@cache
def read_help(path: Path, *command: str) -> str:
    return run_script(path, *command, "--help")


def help_of(script: str, *command: str) -> str:
    return read_help(path_of(script), *command)


def test_the_readme_is_short() -> None:
    assert len(README.text.splitlines()) <= 150


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in README.links()}
    assert {page.name for page in PAGES} - {README.name} <= linked


def test_quick_start_is_two_commands_that_set_up_all_they_need() -> None:
    quick = Page(path=README.path, text=section("Quick start"))
    typed = [line for block in quick.blocks("bash") for line in lines(block)]
    assert len(typed) == 2
    for line in typed:
        venv, install, *_ = parts(line)
        assert venv == ["python3", "-m", "venv", ".venv"]
        assert install[:3] == [".venv/bin/pip", "install", "-e"]
    main, test = (parts(line)[-1] for line in typed)
    assert main[0] == ".venv/bin/python"
    assert (REPOSITORY / main[1]).is_file()
    assert test[:3] == [".venv/bin/python", "-m", "pytest"]


def test_the_pages_call_scripts() -> None:
    # The tests below are made from these: none would pass for nothing.
    assert len(CALLS) >= 30
    assert any(call[:2] == ("source/data_pipeline.py", "build") for call in CALLS)
    assert sum(bool(runnable(page)) for page in PAGES) >= 6


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_script_takes_what_a_page_gives_it(call: tuple[str, ...]) -> None:
    script, *words = call
    assert path_of(script).is_file()
    known = help_of(script)
    command = []
    if words and not words[0].startswith("-") and " COMMAND" in known:
        assert re.search(rf"^ +{re.escape(words[0])}\b", known, flags=re.MULTILINE), words[0]
        command = words[:1]
        known = help_of(script, *command)
    for word in words:
        if word.startswith("--"):
            flag = word.split("=")[0]
            assert re.search(rf"{re.escape(flag)}\b", known), f"{script} {command} has no {flag}"


PARSERS = {
    "sts_pipeline.py": make_sts_parser,
    "baseline_pipeline.py": make_baseline_parser,
    "augment_benchmark.py": make_augment_parser,
    "calcium_gan.py": make_calcium_parser,
    "data_pipeline.py": make_data_parser,
}
# Calls in blocks are whole; in running text their words may be left out.
WHOLE_CALLS = sorted(
    (name, *words[at + 1 :])
    for line in TYPED
    for words in parts(line)
    for at, word in enumerate(words)
    if (name := Path(word).name) in PARSERS
)


@pytest.mark.parametrize("call", WHOLE_CALLS, ids=" ".join)
def test_every_script_can_read_the_words_of_a_block(call: tuple[str, ...]) -> None:
    script, *words = call
    # HZ stands for a number.
    PARSERS[script]().parse_args(["30" if word == "HZ" else word for word in words])


KNOWN = {"python", "python3", "pip", "apptainer", "cd", "git", *SCRIPTS}


@pytest.mark.parametrize("line", TYPED)
def test_every_command_is_one_this_test_understands(line: str) -> None:
    for words in parts(line):
        name = Path(words[0]).name
        assert name in KNOWN, f"cannot check {name!r}: teach this test what it is"
        if name.startswith("python") and words[1] != "-m":
            assert (REPOSITORY / words[1]).is_file()
        if name == "cd":
            assert (REPOSITORY / words[1]).is_dir()


FLAGS = sorted({found for span in SPANS for found in re.findall(r"^--[a-z-]+", span)})


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_one_some_script_has(flag: str) -> None:
    # A first word that is not a command, such as the number of a model, has no help of its own.
    texts = [
        help_of(script, *(word for word in words[:1] if word.isalpha())) for script, *words in CALLS
    ]
    foreign = {"--nv", "--build-arg"}
    assert flag in foreign or any(re.search(rf"{flag}\b", text) for text in texts)


def mentions() -> list[str]:
    """Return what looks like a file or folder of this repository."""
    top = {path.name for path in REPOSITORY.iterdir()} - {".git"}
    words = [word for span in SPANS for word in span.split()]
    words += [word for page in PAGES for block in page.blocks("") for word in block.split()]
    files = [
        word
        for word in words
        if re.fullmatch(r"[\w./-]+", word)
        and (word.split("/")[0] in top or re.fullmatch(r"[A-Z]+\.\w+|\w+\.toml|\w+\.lock", word))
    ]
    return sorted(set(files))


@pytest.mark.parametrize("mention", mentions())
def test_what_a_page_mentions_is_there(mention: str) -> None:
    first, *rest = mention.split("/")
    if first in MADE and rest:
        return
    assert (REPOSITORY / mention).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Page) -> None:
    for link in page.links():
        file, _, anchor = link.partition("#")
        path = page.path.parent / file if file else page.path
        assert path.exists(), f"{page.name} links {link}"
        if anchor:
            assert anchor in read_page(path).anchors(), f"{page.name} links {link}"


ARCHITECTURE = read_page(REPOSITORY / "docs" / "architecture.md")


def rows_below(heading: str) -> list[list[str]]:
    """Return the rows of the table of the architecture that begins with this heading."""
    table = ARCHITECTURE.text.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_the_architecture_names_every_package_in_its_order() -> None:
    assert [row[0].strip("`") for row in rows_below("package in `source/sts/`")] == list(ORDER)


CHANGES = rows_below("to add")


def test_ten_likely_changes_are_told() -> None:
    assert len(CHANGES) >= 10


@pytest.mark.parametrize("row", CHANGES, ids=[row[0] for row in CHANGES])
def test_a_change_is_made_in_one_or_two_files_that_hold_what_is_named(row: list[str]) -> None:
    where, more = (*row[1:], "")[:2]
    # A file that is named in passing, as the home of a function that is called, does not count.
    files = re.findall(r"`(source/[\w./-]+)`(?!\))", where)
    assert len(files) <= 2
    assert files or where.startswith("nothing")
    for file in re.findall(r"`((?:source|tests|docs|benchmarks)/[\w./-]+)`", where + more):
        assert (REPOSITORY / file).exists(), file
    for names, file in re.findall(
        r"((?:`\w+`(?: and )?)+) (?:in|of) `([\w./-]+\.py)`", where + more
    ):
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        for name in re.findall(r"\w+", names.replace(" and ", " ")):
            assert re.search(rf"^(def |class )?{name}\b", text, flags=re.MULTILINE), name


EXAMPLES = [block for page in PAGES for block in page.blocks("python")]


@pytest.mark.parametrize("block", EXAMPLES)
def test_every_name_an_example_imports_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)


@pytest.mark.parametrize("block", EXAMPLES)
def test_every_example_runs_beside_the_demo(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sts.datasets.store import write_store
    from tests.datasets.laboratory_worlds import write_laboratories
    from tests.datasets.stores import make_store

    # What `build --demo` leaves, as far as examples read it.
    store = tmp_path / "output" / "demo" / "data" / "simulated" / "sweeps.h5"
    store.parent.mkdir(parents=True)
    write_store(store, make_store(3))
    write_laboratories(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "example", "exec"), names)
    assert len(names) > 1, "an example that makes nothing shows nothing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_block_needs_is_said_in_known_words(page: Page) -> None:
    for block in page.blocks("bash"):
        assert not need_of(block) or need_of(block).startswith(NEEDS), block


def runnable(page: Page) -> list[str]:
    """Return the commands of a page that need nothing, or nothing but recordings, in order."""
    # The quick start is what .ci/run runs, as it is typed.
    quick = section("Quick start")
    return [
        line
        for block in page.blocks("bash")
        if block not in quick and need_of(block) in ("", *MET)
        for line in lines(block)
    ]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings of simulated cells, with their labels.

    They are as few as can be divided into training and test cells, folds and cells kept aside.
    """
    from sts.studies.data.simulate import SimulateJob, simulate

    folder = tmp_path_factory.mktemp("simulated") / "recordings"
    simulate(SimulateJob(cells=24, seed=1, out=folder, workers=1))
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name
)
def test_the_commands_of_a_page_run_from_top_to_bottom(
    page: Page, tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A sandbox that was started for another page would look for files in the folder of that page.
    monkeypatch.setattr("sts.base.sandbox._OF_THREAD", threading.local())
    # The same figures in less time.
    monkeypatch.setattr("sts.reports.figures.style.DPI", 40)
    (tmp_path / "source").symlink_to(REPOSITORY / "source")
    specimen = put_cells(recordings, tmp_path)
    for line in runnable(page):
        # A model is trained on all cells; a few are enough to predict.
        given = {"SPECIMEN": specimen, "RECORDINGS": "few" if " PREDICT " in line else "mine"}
        python, script, *words = [given.get(word, word) for word in shlex.split(line)]
        assert python == "python", line
        if words[:3] == ["simulate", "--cells", "40"] and "recordings" in words:
            # They are there: to simulate them again takes longer than all other commands.
            shutil.copytree(recordings, tmp_path / "recordings")
            continue
        small = SMALL.get(f"{script} {words[0]}" if words else script, "").split()
        run_script(Path(script), *words, *small)


def put_cells(recordings: Path, folder: Path) -> str:
    """Put recordings and what is declared of them where the pages say, and return one cell's id."""
    shutil.copytree(recordings, folder / "mine")
    shutil.copy(recordings / "labels.csv", folder / "labels.csv")
    with (recordings / "labels.csv").open(encoding="utf-8") as file:
        specimen = next(csv.DictReader(file))["specimen_id"]
    first, second = few = sorted(recordings.rglob("*.nwb"))[:2]
    (folder / "few").mkdir()
    for path in few:
        shutil.copy(path, folder / "few")
    (folder / "files.csv").write_text(
        f"file,specimen_id\n{first.name},one\n{second.name},two\n", encoding="utf-8"
    )
    return specimen
