"""Where converted models are kept: one folder each in the user's cache, whole or not there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from retriever.cache_folder import cache_folder
from retriever.embedding.models import file_digest
from retriever.embedding.tokens import TokenRules
from retriever.errors import ConfigurationError

_ABOUT = "model.json"
TOKENISER = "tokenizer.json"


class About(BaseModel):
    """What a converted model says of itself, so that torch is not needed to ask it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: int
    pooling: str
    rules: TokenRules
    query_prompt: str
    document_prompt: str
    made_with: str
    """The packages that made it, with their versions."""
    files: dict[str, str] = {}
    """SHA-256 of each file."""


def shelved(key: str, make: Callable[[Path], About] | None) -> tuple[Path, About] | None:
    """A converted model that is kept under a key; made where it is missing or damaged.

    Of several processes that want the same one, one makes it and the others wait.

    :param key: names all that makes the model what it is.
    :param make: writes its files into the empty folder that it is given; None where it cannot be made.
    :return: its folder and what it says of itself; None where it is not there and was not to be made.
    :raises ConfigurationError: where the cache folder cannot be written.
    """
    place = cache_folder() / "models" / key
    if found := _whole(place):
        return place, found
    if make is None:
        return None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            return place, _whole(place) or _made(place, make)
    except OSError as error:
        raise ConfigurationError(
            f"a converted model cannot be kept in {place.parent} ({error}): set RETRIEVER_CACHE to a folder with room"
        ) from error


def _made(place: Path, make: Callable[[Path], About]) -> About:
    draft = place.with_suffix(".draft")  # one name, behind the lock: what a killed process left is cleared away
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        about = make(draft)
        digests = {file.name: file_digest(file) for file in sorted(draft.iterdir())}
        about = about.model_copy(update={"files": digests})
        (draft / _ABOUT).write_text(about.model_dump_json(indent=2), encoding="utf-8")
        if place.exists():  # damaged
            shutil.rmtree(place)
        draft.rename(place)
        return about
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _whole(place: Path) -> About | None:
    """What a folder says of itself where all its files are as they were written."""
    try:
        about = About.model_validate_json((place / _ABOUT).read_bytes())
        return about if all(file_digest(place / name) == digest for name, digest in about.files.items()) else None
    except (OSError, ValidationError):
        return None


def digest_of(*parts: str) -> str:
    """A short name for some strings.

    :param parts: in order.
    """
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
