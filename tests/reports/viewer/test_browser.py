"""The viewer in a real browser, from the disk, as a user meets it."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sts.cli.data import main
from sts.cli.run import Status
from sts.datasets.marks import read_marks
from tests.reports.viewer.browser import Browser, find_browser, start_browser
from tests.reports.viewer.worlds import FORMULA_ID, HOSTILE, LOST, SCRIPT_ID, write_world

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no browser here: install Chromium or Chrome to test the viewer"
)
LISTED = "[...document.querySelectorAll('#rows [role=option] .id')].map((row) => row.textContent)"
CHOSEN = "document.getElementById('name').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("viewer")
    data, run = write_world(root)
    words = ["view", "--root", str(root), "--data", str(data), "--run", str(run)]
    assert main(words) == Status.DONE
    return run / "view.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM is not None
    with start_browser(PROGRAM) as started:
        started.resize(1280, 900)
        yield started


@pytest.fixture(autouse=True)
def nothing_is_said_or_asked(browser: Browser, page: Path) -> Iterator[None]:
    browser.events.clear()
    yield
    assert not browser.list_messages()
    assert {url.split("#")[0] for url in browser.list_requests()} <= {page.as_uri(), "about:blank"}


def go(browser: Browser, page: Path, state: str = "") -> None:
    browser.open(f"{page.as_uri()}#{state}")


def press(browser: Browser, key: str, wanted: str) -> None:
    """Press a key and wait until a cell is shown."""
    browser.press(key)
    browser.wait(f"document.body.dataset.cell === {wanted!r}")


def test_a_cell_is_shown_whole(browser: Browser, page: Path) -> None:
    go(browser, page, "cell=600004")
    text = browser.run("document.getElementById('cell').innerText")
    for words in ("600004", "PatchSeq", "donor 2 µ", "do not trust the prediction", "70 %"):
        assert words in text
    for words in ("In the set", "tau 3 ms", "<i>cells</i>", "Nearest cells", "Features (45 of 45)"):
        assert words.lower() in text.lower()
    assert "rheobase sweep, 90 pA 4 spikes" in text
    # both traces and both scalograms are drawn: they have more than one colour
    read = "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer"
    colours = browser.run(
        "[...document.querySelectorAll('.sweeps canvas')].map((canvas) => "
        f"new Set(new Uint32Array({read})).size)"
    )
    assert len(colours) == 4
    assert min(colours) > 10


def test_every_figure_and_field_has_a_text(browser: Browser, page: Path) -> None:
    go(browser, page)
    assert browser.run(
        "[...document.querySelectorAll('canvas, svg[role=img], button, textarea')]"
        ".every((one) => one.getAttribute('aria-label') || one.textContent.trim())"
    )
    assert browser.run(
        "[...document.querySelectorAll('input, select')].every((one) => one.labels.length === 1)"
    )
    assert "13 cells" not in browser.run("document.getElementById('map').ariaLabel")
    assert "12 cells coloured by class" in browser.run("document.getElementById('map').ariaLabel")


def test_arrow_keys_walk_through_the_cells_and_the_address_follows(
    browser: Browser, page: Path
) -> None:
    go(browser, page, "cell=600003")
    listed = browser.run(LISTED)
    assert len(listed) == 13
    after = listed[listed.index("600003") + 1]
    press(browser, "ArrowDown", after)
    assert browser.run("location.hash") == f"#cell={after}"
    press(browser, "ArrowUp", "600003")
    press(browser, "End", listed[-1])
    press(browser, "Home", listed[0])


def test_filters_and_search_narrow_the_list(browser: Browser, page: Path) -> None:
    go(browser, page, "only=wrong")
    assert browser.run(LISTED) == ["6000011"]
    go(browser, page, "only=unlike")
    assert browser.run(LISTED) == ["600004"]
    go(browser, page, "status=failed")
    assert browser.run(LISTED) == [LOST]
    assert "No sweeps: <b>cut off</b>." in browser.run("document.getElementById('cell').innerText")
    go(browser, page, "class=Sst&set=PatchClamp")
    assert len(browser.run(LISTED)) == 3
    go(browser, page)
    browser.press("/")
    browser.type("60000")
    browser.wait(f"{LISTED}.length === 9")
    browser.press("Enter")
    browser.wait("document.activeElement.id === 'list'")
    assert browser.run("location.hash.includes('q=60000')")


def test_text_from_files_stays_text(browser: Browser, page: Path) -> None:
    for name in HOSTILE:
        go(browser, page, f"cell={quote(name, safe='')}")
        assert browser.run(CHOSEN) == name
    assert browser.run("document.scripts.length") == browser.run(
        "document.querySelectorAll('script[type=\"application/json\"]').length + 1"
    )
    assert browser.run("document.querySelectorAll('img, b, i').length") == 0


def test_marks_survive_a_reload_and_are_exported(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    go(browser, page, f"cell={quote(SCRIPT_ID, safe='')}")
    browser.press("x")
    go(browser, page, f"cell={quote(FORMULA_ID, safe='')}")
    browser.press("n")
    browser.type('odd, see "log"')
    browser.press("Escape")
    browser.press("w")
    go(browser, page, "only=marked")
    assert browser.run(LISTED) == sorted([SCRIPT_ID, FORMULA_ID])
    assert browser.run("document.getElementById('marked').textContent") == "2 marked"
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.press("e")
    deadline = time.monotonic() + 10
    while not (path := tmp_path / "marks.csv").is_file():
        assert time.monotonic() < deadline, "nothing was exported"
        time.sleep(0.05)
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == ["specimen_id", "mark", "note"]
    assert [line[0] for line in lines] == [SCRIPT_ID, f"'{FORMULA_ID}"]
    marks = read_marks(path)
    assert marks[SCRIPT_ID].mark == "exclude"
    assert marks[FORMULA_ID].mark == "wrong label"
    assert marks[FORMULA_ID].note == 'odd, see "log"'
    # a second press takes a mark away
    go(browser, page, f"cell={quote(SCRIPT_ID, safe='')}")
    browser.press("x")
    go(browser, page, "only=marked")
    assert browser.run(LISTED) == [FORMULA_ID]


def test_a_browser_without_storage_says_so(browser: Browser, page: Path) -> None:
    refuse = "Object.defineProperty(window, 'localStorage', {get() {throw new Error('no')}})"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=refuse)
    go(browser, page, "cell=600003")
    assert "keeps no marks" in browser.run("document.getElementById('warning').innerText")
    browser.press("l")
    browser.wait("document.getElementById('marked').textContent === '1 marked'")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **added)


def test_keys_zoom_and_show_values(browser: Browser, page: Path) -> None:
    go(browser, page, "cell=600003")
    browser.press("+")
    browser.wait("location.hash.includes('from=0.3&to=0.9')")
    browser.press("]")
    browser.wait("location.hash === '#cell=600003&from=0.6'")
    browser.press(".")
    assert "mV; coefficients" in browser.run("document.querySelector('.readout').textContent")
    browser.press("0")
    browser.wait("location.hash === '#cell=600003'")
    browser.press("?")
    browser.wait("document.getElementById('keys').open")
    browser.press("Escape")


def test_a_neighbour_is_a_link(browser: Browser, page: Path) -> None:
    go(browser, page, "cell=600003")
    near = browser.run("document.querySelector('.near a').textContent")
    browser.run("document.querySelector('.near a').click()")
    browser.wait(f"document.body.dataset.cell === {near!r}")
    assert near != "600003"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_all_in_its_width(browser: Browser, page: Path, scheme: str) -> None:
    browser.resize(400, 800, scheme=scheme)
    go(browser, page, "cell=600003")
    assert browser.run("document.documentElement.scrollWidth") == 400
    dark = browser.run("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    browser.resize(1280, 900)
