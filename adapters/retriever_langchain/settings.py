"""The public settings of somebody else's embedding object: what a manifest may keep of it.

Kept is what says which vectors come out, as JSON. Left out are secrets, wherever they hide; what says only where,
when or how fast (addresses, clients, caches, time limits, batches), so that an index still opens after it changed; and
what has its default value, so that it still opens when the library has learnt a new setting.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, NamedTuple

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from retriever.embedding import EmbeddingFunction
from retriever_langchain.embeddings import EmbeddingFunctionEmbeddings

Json = str | int | float | bool | list[Any] | dict[str, Any]
"""A JSON value that is not null."""

_DEPTH = 6  # deeper settings do not exist; a dictionary that holds itself would have no end

_HARMLESS = re.compile(
    r"tokeni[sz](er|ation|e)|key_?words?|((max|min|num|n|special|input|output|prompt)_?)+tokens?", re.IGNORECASE
)
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|passphrase|pwd|credential|auth|bearer|cookie|header|signature|session|private|cert|jwt"
    r"|dsn|conn(ection)?_?str|(?<![a-z])(sig|sas)(?![a-z])",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"\b(sk|pk|rk|pplx|xox[a-z]|glpat|nvapi)[-_][A-Za-z0-9_-]{16,}"
    r"|\b(hf|gsk|gh[a-z]|github_pat|r8|co|jina|tgp)_[A-Za-z0-9_-]{16,}|\b(pa|al)-[A-Za-z0-9_-]{40,}"
    r"|\bAKIA[A-Z0-9]{12,}|\bAIza[\w-]{20,}|\beyJ[\w-]{10,}\.|-----BEGIN|\b(bearer|basic)\s+\S{8,}"
    r"|(key|token|secret|password)\s*[=:]\s*\S|[^\s:/@]:[^\s/@]+@(?!sha)\S",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RANDOM = re.compile(r"(?=\D*\d)(?=[^a-zA-Z]*[a-zA-Z])[A-Za-z0-9]{32,}={0,2}")
_ADDRESS = re.compile(r"(?P<scheme>[^\s/]*://)(\S*@)?(?P<where>[^\s?#]*)\S*")
_CHECKSUM_NAME = re.compile(r"revision|commit|checksum|digest|sha\d*|hash", re.IGNORECASE)
_WITHOUT_EFFECT = re.compile(
    r".*client.*|.*cache.*|.*time_?out.*|.*retr(y|ies).*|.*proxy.*|.*rate_?limit.*|.*callbacks?|.*batch.*|chunk_size"
    r"|(show_)?progress.*|.*progress_?bar|verbose|debug|tags|metadata|validate_.*|wait(_time)?|.*parallel(ism)?"
    r"|n_jobs|((num|n|max)_?)?(threads?|workers?|concurren.*)|num_proc|multi_process|pool|device|keep_alive"
    r"|(n|num|main)_gpu(_layers)?|use_m(lock|map)|store|.*_store"
    r"|.*base_?url|.*api_(base|version|type|transport)|.*url|.*endpoint|host(name)?|port|location|.*region(_name)?"
    r"|default_query|.*organi[sz]ation(_id)?|.*project(_id)?|.*(account|group|space|tenant)_id|user(_?name|_agent)?",
    re.IGNORECASE,
)


class _Setting(NamedTuple):
    name: str
    value: object
    default: object


def public_settings(embeddings: Embeddings) -> dict[str, Json]:
    """Settings that say which vectors come out; deterministic and free of secrets.

    :param embeddings: a pydantic model, a dataclass or any other object.
    """
    return _settings(embeddings, _DEPTH)


def class_path(thing: object) -> str:
    """Module and name of an object's class.

    :param thing: any object.
    """
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _settings(thing: object, depth: int) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, value, default in sorted(_all_settings(thing), key=lambda setting: setting.name):
        if _same(value, default) and not (isinstance(value, str) and "model" in name):  # its default may change
            continue
        clean = _named(name, value, depth)
        if clean is not None:
            found[name] = clean
    return found


def _all_settings(thing: object) -> Iterator[_Setting]:
    if isinstance(thing, BaseModel):
        return _of_pydantic(thing)
    if is_dataclass(thing):
        return (_Setting(field.name, getattr(thing, field.name, None), field.default) for field in fields(thing))
    return _of_object(thing)


def _of_pydantic(thing: BaseModel) -> Iterator[_Setting]:
    for name, field in type(thing).model_fields.items():
        if not field.exclude:
            default = None if field.default is PydanticUndefined else field.default
            yield _Setting(name, getattr(thing, name, None), default)
    for name, value in (thing.model_extra or {}).items():
        yield _Setting(name, value, None)


def _of_object(thing: object) -> Iterator[_Setting]:
    """What the constructor was given, where it is kept under its own name; other attributes may be mere state."""
    held = dict(vars(thing)) if hasattr(thing, "__dict__") else {}
    for slot in _slots(type(thing)):
        if hasattr(thing, slot):
            held[slot] = getattr(thing, slot)
    parameters = _parameters(type(thing))
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):  # then any may have been given
        yield from (_Setting(name, value, None) for name, value in held.items() if not name.startswith("_"))
        return
    for parameter in parameters:
        name = parameter.name
        yield _Setting(name, held.get(name, held.get(f"_{name}")), parameter.default)


def _parameters(cls: type) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):  # a class written in C
        return []


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _same(value: object, default: object) -> bool:
    """Whether they are equal: arrays and the like, which have no plain answer, are no settings anyway."""
    return type(value) is type(default) and isinstance(value, str | int | float | tuple | Enum) and value == default


def _named(name: str, value: object, depth: int) -> Json | None:
    """The value in JSON; None where the name says that it must not or need not be kept."""
    if _SECRET_NAME.search(_HARMLESS.sub("", name)) or _WITHOUT_EFFECT.fullmatch(name):
        return None
    if isinstance(value, str) and _RANDOM.fullmatch(value) and _CHECKSUM_NAME.search(name):
        return value
    return _json(value, depth)


def _json(value: object, depth: int) -> Json | None:  # noqa: C901 - one line a type
    if isinstance(value, Enum):
        value = value.value
    if depth == 0 or value is None:
        return None
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, PurePath):
        return _text(str(value))
    if isinstance(value, EmbeddingFunctionEmbeddings):
        value = value.function
    if isinstance(value, EmbeddingFunction):
        return {"class": class_path(value), **value.config.model_dump(mode="json")}
    if isinstance(value, Embeddings):
        return {"class": class_path(value), **_settings(value, depth - 1)}
    if isinstance(value, Mapping):
        return _mapping(value, depth - 1)
    if isinstance(value, set | frozenset):
        return sorted((_json(item, depth - 1) for item in value), key=repr) or None
    if isinstance(value, list | tuple):
        return [item for item in (_json(item, depth - 1) for item in value) if item is not None] or None
    return None


def _mapping(value: Mapping[Any, object], depth: int) -> Json | None:
    names = sorted(name for name in value if isinstance(name, str) and _text(name) == name)
    clean = ((name, _named(name, value[name], depth)) for name in names)
    return {name: kept for name, kept in clean if kept is not None} or None


def _text(text: str) -> str | None:
    """The text, if it can be stored and is no secret; of an address scheme, host and path."""
    text = _ADDRESS.sub(r"\g<scheme>\g<where>", text)
    words = re.split(r"[\s/]+" if "://" in text else r"\s+", text)  # a path on a disk may have a checksum in it
    if _SECRET_TEXT.search(text) or any(_RANDOM.fullmatch(word) or _UUID.fullmatch(word) for word in words):
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text
