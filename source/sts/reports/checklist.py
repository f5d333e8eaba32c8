"""A reporting checklist of a run: REFORMS for the science, DOME for the models.

What the files of a run hold is filled in. What they do not hold is said to be missing, and answers
written by hand stay apart from it.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from sts.base.errors import StsError, one_of
from sts.base.files import read_json, write_text
from sts.base.logs import as_typed
from sts.evaluation.predictions import SCORES
from sts.evaluation.scores import Interval
from sts.reports.page import TEMPLATES

# Name of the page in the folder of a run.
CHECKLIST_NAME: Final = "reporting.md"
ITEMS: Final = TEMPLATES / "checklist.toml"
# Files of a run, by their names in the sentences of ITEMS.
RUN_FILES: Final = {"settings": "settings.json", "report": "report.json", "run": "run.json"}
MANIFEST: Final = "manifest"
NOT_RECORDED: Final = "The files of this run do not record "
# Scores in the sentence on a group of cells.
MAIN_SCORES: Final = ("balanced_accuracy", "weighted_f1")
# Characters that Markdown would take as the begin of a tag or of code.
ESCAPES: Final = str.maketrans({"<": "&lt;", "`": "'"})


@dataclass(frozen=True, kw_only=True)
class ChecklistItem:
    """One item of a checklist with its answers."""

    id: str
    asks: str
    checklist: str
    from_run: str
    """The answer in the files of the run, with what they do not record; "" if none is expected."""
    by_hand: str

    @property
    def is_answered(self) -> bool:
        """Tell whether there is an answer, from the run or by hand."""
        return bool(self.by_hand or self.from_run.partition(NOT_RECORDED)[0])


def fill_checklist(
    run: Path, *, manifest: Path | None = None, answers: Path | None = None
) -> list[ChecklistItem]:
    """Return all items, answered from the folder of a run.

    Parameters
    ----------
    manifest
        The manifest.json of the data set of the run, where recordings were built into one.
    answers
        A TOML file of answers by hand: the id of an item = "text".
    """
    listed = tomllib.loads(ITEMS.read_text(encoding="utf-8"))
    known = {item["id"]: item for item in listed["items"]}
    by_hand = {} if answers is None else _read_answers(answers, known)
    facts = _read_facts(run, manifest)
    sentences = {name: _fill(text, facts) for name, text in listed["sentences"].items()}
    return [
        ChecklistItem(
            id=name,
            asks=item["asks"],
            checklist=f"{name.split()[0]}, {listed['checklists'][name.split()[0]]}",
            from_run=_join({each: sentences[each] for each in item.get("from_run", ())}),
            by_hand=by_hand.get(name, ""),
        )
        for name, item in known.items()
    ]


def write_checklist(path: Path, items: Sequence[ChecklistItem], *, run: Path) -> None:
    """Write a checklist as a page of Markdown."""
    groups: dict[str, list[ChecklistItem]] = {}
    for item in items:
        groups.setdefault(item.checklist, []).append(item)
    page = _environment().get_template("checklist.md")
    name = "/".join(run.resolve().parts[-3:])
    write_text(path, page.render(run=name, groups=groups, items=items) + "\n")


def _read_answers(path: Path, known: Mapping[str, object]) -> dict[str, str]:
    try:
        answers = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StsError(f"{path} is not TOML: {error}") from error
    for name, text in answers.items():
        one_of(name, known, f"item in {path}")
        if not isinstance(text, str):
            raise StsError(f"{path}: the answer to {name!r} must be text")
    return {name: " ".join(text.split()) for name, text in answers.items()}


def _read_facts(run: Path, manifest: Path | None) -> dict[str, Any]:
    """Return the content of the files of a run, without what they leave empty."""
    if not (run / RUN_FILES["settings"]).is_file():
        raise StsError(f"no {RUN_FILES['settings']} in {run}: name the folder of a finished run")
    paths = {name: run / file for name, file in RUN_FILES.items()}
    facts = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    if manifest is not None:
        facts[MANIFEST] = read_json(manifest)
    clean: dict[str, Any] = _clean(facts)
    return clean


def _clean(value: Any) -> Any:
    """Return a value without fields that are null, which hold no answer, and texts on one line."""
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items() if each is not None}
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value.translate(ESCAPES))
    return [_clean(each) for each in value] if isinstance(value, list) else value


def _fill(sentence: str, facts: Mapping[str, Any]) -> str | None:
    """Return a sentence with the facts in it, None if one of them is missing."""
    try:
        return _environment().from_string(sentence).render(facts)
    except (UndefinedError, TypeError, ValueError, AttributeError):
        # A file of another kind of run: a field is missing, or something else has its name.
        return None


def _join(sentences: Mapping[str, str | None]) -> str:
    found = [text for text in sentences.values() if text is not None]
    missing = [name for name, text in sentences.items() if text is None]
    return " ".join([*found, *([f"{NOT_RECORDED}{', '.join(missing)}."] if missing else [])])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        # It makes Markdown; _clean escapes what files hold.
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "command": _command,
        "count": lambda value: f"{int(value):,}",
        "decimals": _decimals,
        "file_name": lambda value: PurePath(value).name,
        "interval": lambda value: Interval.from_dict(value).in_words(),
        "scores": _scores,
    }
    return environment


def _decimals(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


def _command(argv: Sequence[str]) -> str:
    script, *words = argv
    return as_typed(" ".join([f"python source/{PurePath(script).name}", *words]))


def _scores(group: Mapping[str, Any]) -> str:
    values = (
        f"{SCORES[name]} {Interval.from_dict(group[name]).in_words()}" for name in MAIN_SCORES
    )
    return f"{', '.join(values)} (n = {group['cells']:,})"
