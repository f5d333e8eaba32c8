"""A page needs nothing else, runs nothing and believes no text."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.reports.page import (
    SVG_BYTES,
    Block,
    Code,
    Facts,
    Picture,
    Section,
    Table,
    as_html,
    write_page,
)

# A PNG of one pixel.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
BLOCKS: list[Block] = [
    HOSTILE,
    Table(columns=["name", HOSTILE], rows=[[HOSTILE, HOSTILE], ["x", 1]], caption=HOSTILE),
    Facts([(HOSTILE, HOSTILE, HOSTILE)]),
    Code(HOSTILE),
]


class Page(HTMLParser):
    """The elements of a page, and whether each one is closed in its turn."""

    EMPTY = frozenset({"meta", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data)

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    for name, content in {"some.png": PIXEL, "some.svg": b"<svg></svg>"}.items():
        (tmp_path / name).write_bytes(content)
    return Picture(files=[tmp_path / "some.png", tmp_path / "some.svg"], caption=HOSTILE)


def written(path: Path, blocks: list[Block], sections: int = 1) -> str:
    parts = [Section(f"{HOSTILE} {number}", blocks) for number in range(sections)]
    write_page(path / "report.html", HOSTILE, subtitle=HOSTILE, sections=parts)
    return (path / "report.html").read_text(encoding="utf-8")


def test_hostile_text_stays_text(tmp_path: Path, picture: Picture) -> None:
    page = Page(written(tmp_path, [*BLOCKS, picture], sections=5))
    assert not page.open
    kinds = {name for name, _ in page.elements}
    assert not kinds & {"script", "iframe", "object", "embed", "link", "base", "form"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    # title and heading, then once for each place it was put
    assert sum(HOSTILE in words for words in page.words) == 3 + 5 + 5 * (1 + 1 + 4 + 3 + 1 + 1)


def test_nothing_comes_from_elsewhere(tmp_path: Path, picture: Picture) -> None:
    text = written(tmp_path, [*BLOCKS, picture], sections=5)
    page = Page(text)
    for _, attributes in page.elements:
        assert (attributes.get("src") or "data:").startswith(
            "data:image/"
        ) or "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"https?:|@import|url\(", text)


def test_the_policy_comes_first_and_forbids_everything_but_what_is_inside(tmp_path: Path) -> None:
    page = Page(written(tmp_path, BLOCKS))
    policies = [
        one for one in page.every("meta") if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert page.elements[3][1] is policies[0]
    rules = dict(rule.strip().split(" ", 1) for rule in str(policies[0]["content"]).split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "script-src" not in rules


def test_a_picture_is_whole_inside_and_has_an_alternative_text(picture: Picture) -> None:
    (image,) = Page(as_html(picture)).every("img")
    kind, data = str(image["src"]).split(";base64,")
    assert kind == "data:image/svg+xml"
    assert base64.b64decode(data) == b"<svg></svg>"
    assert image["alt"] == HOSTILE


def test_a_heavy_drawing_gives_way_to_its_png(picture: Picture) -> None:
    picture.files[1].write_bytes(b"<svg>" + b" " * SVG_BYTES + b"</svg>")
    (image,) = Page(as_html(picture)).every("img")
    assert str(image["src"]).startswith("data:image/png;base64,")
    # one pixel of the file, half a pixel of the screen
    assert image["width"] == "0"


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.pdf").write_bytes(b"%PDF")
    with pytest.raises(StsError, match=r"no PNG or SVG among .*some\.pdf"):
        as_html(Picture(files=[tmp_path / "some.pdf"], caption=""))


def test_a_page_beside_predictions_leads_to_the_cells(tmp_path: Path) -> None:
    run = tmp_path / "output" / "sts" / "ResNet18" / "1-a.unfinished"
    run.mkdir(parents=True)
    assert "view.html" not in written(run, ["text"])
    (run / "predictions.csv").write_text("specimen_id\n")
    page = written(run, ["text"])
    (link,) = Page(page).every("a")
    assert link["href"] == "view.html"
    assert "data_pipeline.py view --run output/sts/ResNet18/1-a</code>" in page


def test_every_link_of_the_contents_leads_to_its_section(tmp_path: Path) -> None:
    page = Page(written(tmp_path, ["text"], sections=6))
    targets = [one["href"] for one in page.every("a")]
    assert targets == [f"#{one['id']}" for one in page.every("section")]
    assert len(targets) == 6


def test_a_short_page_has_no_contents(tmp_path: Path) -> None:
    assert not Page(written(tmp_path, ["text"], sections=3)).every("nav")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (1118, "1,118"),
        (0.123456, "0.1235"),
        (True, "yes"),
        (False, "no"),
        ("PatchSeq", "PatchSeq"),
        (0, "0"),
    ],
)
def test_values_are_written_as_a_reader_wants_them(value: object, text: str) -> None:
    html = as_html(Table(columns=["name", "value"], rows=[["x", value]]))
    assert Page(html).words == ["name", "value", "x", text]


def test_only_numbers_are_set_to_the_right() -> None:
    html = as_html(Table(columns=["name", *"abcd"], rows=[["x", 1, 2.5, "3", True]]))
    assert [cell.get("class") for cell in Page(html).every("td")] == [
        "number",
        "number",
        None,
        None,
    ]


def test_a_page_suits_dark_screens_small_screens_and_paper(tmp_path: Path) -> None:
    text = written(tmp_path, [])
    for rule in ("prefers-color-scheme: dark", "max-width: 40rem", "@media print", "viewport"):
        assert rule in text


def drawing(path: Path, width_pt: float) -> Picture:
    path.write_text(f'<svg xmlns="x" width="{width_pt}pt" height="100pt" version="1.1"></svg>')
    return Picture(files=[path], caption="what is seen")


def test_only_a_wide_figure_says_that_it_can_be_moved(tmp_path: Path) -> None:
    assert "sideways" in as_html(drawing(tmp_path / "wide.svg", 583.2))
    assert "sideways" not in as_html(drawing(tmp_path / "narrow.svg", 200))


def test_long_text_is_set_in_lines_and_numbers_are_not() -> None:
    cells = Page(as_html(Table(columns=["a", "b", "c", "d"], rows=[["x", "y " * 40, 1.5, "z"]])))
    assert [cell.get("class") for cell in cells.every("td")] == ["text", "number", None]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium to lay out a page")
def test_on_a_telephone_captions_are_whole_and_wide_tables_show_that_they_move(
    tmp_path: Path,
) -> None:
    caption = "A caption of several words that is longer than a telephone is wide, by far."
    wide = Table(columns=[f"column {n}" for n in range(20)], rows=[["x"] * 20], caption=caption)
    narrow = Table(columns=["a", "b"], rows=[["x", "y"]], caption=caption)
    write_page(tmp_path / "report.html", "t", subtitle="s", sections=[Section("s", [wide, narrow])])
    script = (
        "const page = document.querySelector('iframe').contentDocument;"
        "const boxes = [...page.querySelectorAll('.wide')].map(box => ({"
        "moves: box.scrollWidth > box.clientWidth,"
        "shadow: getComputedStyle(box).backgroundAttachment.includes('local'),"
        "caption: box.querySelector('caption span').getBoundingClientRect().right,"
        "edge: box.getBoundingClientRect().right}));"
        "document.title = JSON.stringify({page: page.documentElement.scrollWidth, boxes});"
    )
    (tmp_path / "frame.html").write_text(
        f"<iframe src='report.html' width=400 height=900 onload=\"{script}\"></iframe>"
    )
    shown = subprocess.run(
        [
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--allow-file-access-from-files", (tmp_path / "frame.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = re.search(r"<title>(.*?)</title>", shown.stdout)
    assert found, shown.stderr
    laid_out = json.loads(found[1])
    assert laid_out["page"] <= 400
    assert [box["moves"] for box in laid_out["boxes"]] == [True, False]
    for box in laid_out["boxes"]:
        assert box["shadow"]
        assert box["caption"] <= box["edge"] + 0.5


def test_a_command_to_be_copied_is_the_one_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Code("python source/baseline_pipeline.py TRAIN --seed 3")
    monkeypatch.setattr("sys.argv", ["baseline_pipeline.py"])
    assert "python source/baseline_pipeline.py TRAIN --seed 3" in as_html(command)
    monkeypatch.setattr("sys.argv", ["/venv/bin/sts-baseline"])
    assert ">sts-baseline TRAIN --seed 3<" in as_html(command)
