"""`report.html`: one file that needs nothing else, runs nothing and looks the same anywhere."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from sts.base.files import write_text
from sts.reports.blocks import Section, as_html

# Nothing is fetched and nothing is run, whatever a file managed to put into the text.
POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
# From so many sections on a page has a list of them.
MANY: Final = 4

STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --faint: #666; --line: #ddd;
  --shade: #f6f5f2; --accent: #0072b2; --shadow: #0004; }
@media (prefers-color-scheme: dark) { :root { --paper: #17191c; --ink: #e6e6e6; --faint: #a0a0a0;
  --line: #3a3d42; --shade: #212429; --accent: #6cb8e6; --shadow: #000c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(0.8rem, 3vw, 2.5rem) 4rem; max-width: 70rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 0.3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 0.6rem; padding-bottom: 0.2rem;
  border-bottom: 1px solid var(--line); }
p { max-width: 46rem; margin: 0.6rem 0; }
header p { color: var(--faint); margin: 0; }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; margin-top: 1rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 0.8rem;
  margin: 1rem 0; }
dl div { background: var(--shade); border-radius: 0.4rem; padding: 0.7rem 0.9rem; }
dt { color: var(--faint); font-size: 0.85rem; }
dd { margin: 0; color: var(--faint); font-size: 0.85rem; font-variant-numeric: tabular-nums; }
dt + dd { color: var(--ink); font-size: 1.6rem; font-weight: 600; line-height: 1.3; }
/* What is wider than the page is moved sideways; a shadow falls where more of it lies. */
.wide { overflow-x: auto; container-type: inline-size; scrollbar-width: thin; background:
  linear-gradient(to right, var(--paper) 35%, transparent) 0 0 / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--paper) 35%, transparent) 100% 0 / 3rem 100% no-repeat local,
  linear-gradient(to right, var(--shadow), transparent) 0 0 / 0.9rem 100% no-repeat scroll,
  linear-gradient(to left, var(--shadow), transparent) 100% 0 / 0.9rem 100% no-repeat scroll; }
.wide:focus-visible { outline: 2px solid var(--accent); }
.sideways { display: none; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums;
  margin: 0.8rem 0; }
caption { text-align: left; color: var(--faint); padding-bottom: 0.4rem; }
/* A caption stays in sight, and as wide as the page, while its table is moved. */
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 1.6rem);
  max-width: min(46rem, 100cqw); }
th, td { text-align: left; padding: 0.3rem 1.2rem 0.3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td { white-space: nowrap; }
.text { white-space: normal; min-width: 22rem; max-width: 34rem; }
tbody th { font-weight: 500; }
.number { text-align: right; }
figure { margin: 1.2rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 0.4rem; }
figcaption { color: var(--faint); font-size: 0.9rem; max-width: 46rem; margin-top: 0.4rem; }
pre { background: var(--shade); border-radius: 0.4rem; padding: 0.8rem 1rem; overflow-x: auto; }
/* On a telephone a figure is moved sideways rather than made too small to read. */
@media (max-width: 40rem) { img { max-width: none; width: auto; }
  .sideways { display: block; color: var(--accent); font-size: 0.85rem; margin: 0.2rem 0; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --faint: #444;
  --line: #bbb; --shade: #f3f3f3; } body { padding: 0; font-size: 10pt; } nav { display: none; }
  figure, tr, dl { break-inside: avoid; } h2 { break-after: avoid; }
  pre { white-space: pre-wrap; } .wide { overflow: visible; background: none; }
  td { white-space: normal; } }
"""


def write_page(path: Path, title: str, *, subtitle: str, sections: Sequence[Section]) -> None:
    """Write a page, its figures inside."""
    body = "".join(_section(number, section) for number, section in enumerate(sections, start=1))
    contents = _contents(sections) if len(sections) >= MANY else ""
    write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><header>"
        f"<h1>{escape(title)}</h1><p>{escape(subtitle)}</p>{contents}</header>\n"
        f"<main>{body}</main></body></html>\n",
    )


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(
        f'<a href="#section-{number}">{escape(section.title)}</a>'
        for number, section in enumerate(sections, start=1)
    )
    return f'<nav aria-label="contents">{links}</nav>'


def _section(number: int, section: Section) -> str:
    blocks = "\n".join(as_html(block) for block in section.blocks)
    return f'<section id="section-{number}"><h2>{escape(section.title)}</h2>{blocks}</section>\n'
