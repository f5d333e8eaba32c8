"""The tree of types that comes with the package, and the digests of its files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sts
from sts.base.errors import StsError
from sts.base.files import write_text
from sts.base.model_files import CARD, write_model
from sts.tabular.type_checkpoint import ARRAYS, TypeModel, load_types, write_types

RELEASED: Final = Path(sts.__file__).with_name("released")
MODEL_CARD: Final = "MODEL_CARD.md"
DIGESTS: Final = "SHA256SUMS"
FILES: Final = (MODEL_CARD, CARD, ARRAYS)
REPAIR: Final = "install the package again"
# A card in words has some kB.
_MAX_BYTES: Final = 2**24


def load_released(folder: Path = RELEASED) -> TypeModel:
    """Return the released tree of types, after checking the digest of each of its files."""
    if not (folder / DIGESTS).is_file():
        raise StsError(f"the released model lacks {folder / DIGESTS}: {REPAIR}")
    listed = dict(_read_digests(folder / DIGESTS))
    if set(listed) != set(FILES):
        raise StsError(f"{folder / DIGESTS} does not list {', '.join(FILES)}: {REPAIR}")
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            raise StsError(f"the released model lacks {path}: {REPAIR}")
        if path.stat().st_size > _MAX_BYTES or _digest(path) != digest:
            raise StsError(f"{path} is not the released one (its sha256 differs): {REPAIR}")
    return load_types(folder, again=REPAIR)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_digests(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest from lines as `sha256sum` writes them."""
    for line in path.read_bytes()[:_MAX_BYTES].decode("utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        yield name, digest


def save_released(folder: Path, model: TypeModel, text: str) -> TypeModel:
    """Write a tree of types with its card in words and the digests of both.

    A release in `folder` is replaced.
    """
    for name in (*FILES, DIGESTS):
        (folder / name).unlink(missing_ok=True)
    with write_model(folder) as files:
        files.add(MODEL_CARD, text.encode())
        write_types(files, model)
    lines = [f"{_digest(folder / name)}  {name}\n" for name in FILES]
    write_text(folder / DIGESTS, "".join(lines))
    return load_released(folder)
