"""Who the cells of a data set are: ids that several different files claim are nobody's.

The rule is applied once, to all files, before any product is written, so that the sweep store and
the table of features agree on who a row is.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from sts.datasets.cell_files import CellFiles
from sts.datasets.labels import CellLabel
from sts.datasets.outcomes import Outcome
from sts.recordings.recording import MAX_ID

# What all notes of this module begin with, to tell them from those of a cell's sweeps.
NOTES: Final = ("named by its file", "also claimed", "same bytes as", "its own donor is")
# How sure it is who a cell is: not at all, by the name of its file, by the file, by the user.
UNREAD, NAME, FILE, USER = range(4)


@dataclass(frozen=True, kw_only=True)
class NamedCell:
    """Who a cell is."""

    specimen_id: str
    donor_id: str = ""
    """Where a side of a split must be shared, the same for all cells that share it."""
    label: str = ""
    dataset: str = ""
    label_id: str = ""
    """The specimen under which the label was found."""
    double_of: str = ""
    """The file that holds the same bytes and comes first."""
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Claim:
    """What is found out about a cell, step by step."""

    file: str
    names: list[str]
    """What it may be called: the id first, then by its file, ever longer."""
    sureness: int
    digests: frozenset[str]
    donor_id: str
    label: CellLabel | None
    at: int = 0
    double_of: str = ""
    group: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.names[self.at]

    @property
    def rank(self) -> int:
        return 0 if self.at else self.sureness


def name_cells(
    outcomes: Iterable[Outcome],
    labels: Mapping[str, CellLabel],
    declared: Mapping[str, CellFiles] | None = None,
    *,
    held: Collection[str] = (),
) -> list[NamedCell]:
    """Return who the cells are, in their order.

    Parameters
    ----------
    outcomes
        What was read of each.
    labels
        By any id that a file may state.
    declared
        Cells that the user has declared, by the names of their files.
    held
        Specimens of the published test split: a cell that may be one of them gets no label, since
        under the name of its file it could train a model.
    """
    claims = [
        _claim_of(outcome, labels, (declared or {}).get(outcome.file)) for outcome in outcomes
    ]
    read = [claim for claim in claims if claim.sureness > UNREAD]
    links = _find_doubles(read)
    first = [claim for claim in read if not claim.double_of]
    links += _find_rivals(first, held)
    _choose_names(first)
    _share_sides(read, links)
    named = {claim.file: claim for claim in first}
    return [_named(claim, named.get(claim.double_of, claim), labels) for claim in claims]


def _claim_of(
    outcome: Outcome, labels: Mapping[str, CellLabel], declared: CellFiles | None
) -> _Claim:
    stated = declared.specimen_id if declared else outcome.specimen_id
    # A file of the DANDI archive bears its session's id; whose it is, its label knows.
    label = labels.get(stated)
    path = PurePath(outcome.file)
    by_file = [] if declared else [path.stem, path.with_suffix("").as_posix(), outcome.file]
    sureness = USER if declared else FILE if outcome.claims_id else NAME
    claim = _Claim(
        file=outcome.file,
        names=[_shorten(name) for name in ((label and label.specimen_id) or stated, *by_file)],
        sureness=sureness if outcome.was_read else UNREAD,
        digests=frozenset(stamp.sha256 for stamp in outcome.files if stamp.sha256),
        donor_id=(declared.donor_id if declared else "")
        or (label.donor_id if label else "")
        or outcome.donor_id,
        label=label,
    )
    if outcome.ignored_id and not declared:
        length = f"of {len(outcome.ignored_id)} characters or more"
        what = length if len(outcome.ignored_id) >= MAX_ID else f"{outcome.ignored_id!r}"
        claim.notes.append(f"named by its file: the id {what} in it says nothing".replace(";", ","))
    return claim


def _shorten(name: str) -> str:
    """Return a name of its own that tables take, for a file's or for that of many donors."""
    if len(name) <= MAX_ID:
        return name
    end = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{name[: MAX_ID - len(end) - 1]}-{end}"


def _find_doubles(read: Sequence[_Claim]) -> list[list[_Claim]]:
    """Mark second files of the same bytes and id; return cells that share bytes and not the id."""
    first: dict[tuple[str, frozenset[str]], _Claim] = {}
    by_digest: dict[str, list[_Claim]] = defaultdict(list)
    for claim in read:
        known = first.setdefault((claim.name, claim.digests or frozenset([claim.file])), claim)
        if known is not claim:
            claim.double_of = known.file
            continue
        for digest in claim.digests:
            by_digest[digest].append(claim)
    links = [claims for claims in by_digest.values() if len(claims) > 1]
    for same in links:
        for claim in same[1:]:
            claim.notes.append(f"same bytes as {same[0].file}: shares a side of a split with it")
    return links


def _find_rivals(first: Sequence[_Claim], held: Collection[str]) -> list[list[_Claim]]:
    """Return the cells whose different files claim one id, each group together, and say so."""
    by_id: dict[str, list[_Claim]] = defaultdict(list)
    for claim in first:
        if claim.sureness >= FILE:
            by_id[claim.name].append(claim)
    groups = [rivals for rivals in by_id.values() if len(rivals) > 1]
    for rivals in groups:
        name = rivals[0].name
        for claim in rivals:
            claim.group = f"files that claim {name}"
            if claim.sureness == USER:
                claim.notes.append(
                    f"also claimed by {len(rivals) - 1} files that are not declared: it shares a "
                    "side of a split with them"
                )
                continue
            claim.notes.append(
                f"named by its file: {len(rivals)} different files claim the id {name}, so "
                "they share a side of a split, declare with --cells what is one cell"
            )
            if claim.label is not None and {name, claim.label.specimen_id} & set(held):
                claim.label = None
                claim.notes.append("also claimed: a published test specimen, so it has no label")
    return groups


def _choose_names(first: Sequence[_Claim]) -> None:
    """Give every cell a name of its own: the surest keeps it, all others take a longer one."""
    while True:
        times = Counter(claim.name for claim in first)
        taken = [claim for claim in first if times[claim.name] > 1]
        by_name: dict[str, list[_Claim]] = defaultdict(list)
        for claim in taken:
            by_name[claim.name].append(claim)
        losers = [claim for rivals in by_name.values() for claim in _losers(rivals)]
        if not losers:
            return
        for claim in losers:
            claim.at += 1


def _losers(rivals: Sequence[_Claim]) -> list[_Claim]:
    best = max(claim.rank for claim in rivals)
    top = [claim for claim in rivals if claim.rank == best]
    keeper = top[0] if len(top) == 1 and best else None
    movable = [claim for claim in rivals if claim.at + 1 < len(claim.names)]
    # One that has no longer name keeps this one, whoever else has it.
    return [claim for claim in movable if claim is not keeper] or movable


def _share_sides(read: Sequence[_Claim], links: Sequence[Sequence[_Claim]]) -> None:
    """Give cells that must share a side one donor, with all others of their donors."""
    own = [{f"file {claim.file}", f"donor {claim.donor_id}"} for claim in read if claim.donor_id]
    linked = [{f"file {claim.file}" for claim in claims} for claims in links]
    together = _merge([*own, *linked])
    named: dict[str, str] = {}
    for claim in (claim for claims in links for claim in claims):
        whole = together[f"file {claim.file}"]
        donors = sorted(each.removeprefix("donor ") for each in whole if each.startswith("donor "))
        name = " + ".join(donors) or claim.group or f"files like {claim.file}"
        for each in whole:
            named.setdefault(each, _shorten(name))
    for claim in read:
        donor = named.get(f"file {claim.file}", claim.donor_id)
        if claim.donor_id not in ("", donor):
            claim.notes.append(
                f"its own donor is {claim.donor_id}: shares a side of a split with other donors"
            )
        claim.donor_id = donor


def _merge(groups: Iterable[set[str]]) -> dict[str, set[str]]:
    """Return, for every member, all that groups bring together with it, by whatever chain."""
    together: dict[str, set[str]] = {}
    for group in groups:
        whole = group.union(*(together.get(each, set()) for each in group))
        together |= dict.fromkeys(whole, whole)
    return together


def _named(claim: _Claim, first: _Claim, labels: Mapping[str, CellLabel]) -> NamedCell:
    # A label may also name a cell as it is called here, by its file.
    label = labels.get(first.name)
    # What several files are called says nothing of one of them.
    if label is None and (claim.sureness != NAME or not claim.at):
        label = claim.label
    return NamedCell(
        specimen_id=first.name,
        donor_id=claim.donor_id,
        label=label.label if label else "",
        dataset=label.dataset if label else "",
        label_id=label.specimen_id if label else "",
        double_of=claim.double_of,
        notes=tuple(claim.notes),
    )
