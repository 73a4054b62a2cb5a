"""What a collection's configuration says of its embedding function. Anybody may have written it.

Chroma keeps it with the collection, as the function's name and settings. Ours are::

    {"type": "known", "name": "hybrid-retriever",
     "config": {"kind": ..., "config": {...}, "fingerprint": {...}, "dimension": 384, "canaries": [[...], ...]}}

From that, only classes of this package are built, whatever plug-ins there are, and only after each value was looked at.
A model's weights are compared with the recorded fingerprint before they are loaded.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, FailFast, Field, ValidationError

from retriever.embedding import EmbeddingFunction
from retriever.embedding.base import CANARIES
from retriever.embedding.hashed import HashedEmbedding
from retriever.embedding.model_names import check_model_folder, check_model_name
from retriever.embedding.sentence_transformers import SentenceTransformerEmbedding
from retriever.errors import ConfigurationError, IndexMismatch
from retriever.identity import CANARY_COSINE, describe_embedding, difference, least_cosine
from retriever.manifest import EmbeddingManifest

NAME = "hybrid-retriever"
"""Under which chromadb knows our function. Stored in collections: it never changes."""

CLASSES: dict[str, type[EmbeddingFunction]] = {cls.kind: cls for cls in (HashedEmbedding, SentenceTransformerEmbedding)}
"""What is built from a configuration. Not the registry: a plug-in may take any name there."""

HERE = "the collection's configuration"

_DIGITS = 6
"""Significant ones of a canary. Chroma keeps three copies, and sends them along whenever a collection is looked up."""

_LONGEST = 4_096
_WIDEST = 65_536

_MOST_KEPT = 8

_kept: dict[str, EmbeddingFunction] = {}
"""What was built, since chromadb builds the function anew for every query, and three times for every ``add``."""
_keeping = threading.Lock()

_Text = Annotated[str, Field(max_length=_LONGEST)]
_Key = Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
"""Of what this package writes: it is shown in messages."""
_Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
_Canary = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=_WIDEST), FailFast()]


class _Configuration(EmbeddingManifest):
    """The manifest, with bounds, and without any conversion."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    kind: _Text
    config: dict[_Key, _Text | bool | _Whole | None] = Field(max_length=32)
    fingerprint: dict[_Key, _Text] = Field(max_length=32)
    dimension: int = Field(gt=0, le=_WIDEST)
    canaries: Annotated[list[_Canary], FailFast()] = Field(min_length=len(CANARIES), max_length=len(CANARIES) + 1)


class Named(NamedTuple):
    """An embedding function that a collection's configuration names.

    :param name: under which chromadb knows it.
    :param config: its settings, not looked at yet.
    """

    name: str
    config: object

    @property
    def is_ours(self) -> bool:
        """Whether it is the one of this package."""
        return self.name == NAME

    @property
    def shown(self) -> str:
        """The name, for messages."""
        return repr(self.name if len(self.name) <= 80 else f"{self.name[:80]}…")


def named(settings: object, where: str) -> Named | None:
    """The function that a configuration names; None where it names none.

    :param settings: the part of a collection's ``configuration_json`` about the embedding function.
    :param where: the collection's address, for messages.
    :raises ConfigurationError: where it is not what chromadb writes.
    """
    if settings is None:
        return None
    if isinstance(settings, Mapping):
        if settings.get("type") in ("legacy", "unknown"):
            return None
        name = settings.get("name")
        if isinstance(name, str) and len(name) <= _LONGEST:
            return Named(name, settings.get("config"))
    raise ConfigurationError(f"{where}: what its configuration says of the embedding function is not understood")


def digest(said: Named | None) -> str:
    """Tells whether a configuration is still the same, without keeping it.

    :param said: as :func:`named` gives it.
    :raises ConfigurationError: where it is nested too deeply.
    """
    try:
        text = json.dumps(said, sort_keys=True)
    except RecursionError:
        raise ConfigurationError(
            "the configuration of the collection's embedding function is nested too deeply"
        ) from None
    return hashlib.sha256(text.encode()).hexdigest()


def to_config(recorded: EmbeddingManifest) -> dict[str, Any]:
    """The settings of our function, as chromadb stores them.

    :param recorded: of an embedding function.
    """
    short = [[float(f"{number:.{_DIGITS}g}") for number in canary] for canary in recorded.canaries]
    return {**recorded.model_dump(mode="json"), "canaries": short}


def parse(config: object, where: str = HERE) -> EmbeddingManifest:
    """Read the settings of our function. Nothing is built and nothing looked for.

    :param config: as :func:`to_config` makes them, or anything else.
    :param where: what they come from, for messages.
    :raises ConfigurationError: for anything that this package does not write.
    """
    try:
        recorded = _Configuration.model_validate(config)
    except ValidationError as error:
        raise ConfigurationError(
            f"{where} of {NAME!r} is not understood: {first_problem(error)}; if a newer version of this package wrote "
            "it, upgrade with pip install -U hybrid-retriever"
        ) from None
    cls = CLASSES.get(recorded.kind)
    if cls is None:
        raise ConfigurationError(
            f"{where} asks for the embedding function {recorded.kind[:40]!r}; from a collection only "
            f"{' and '.join(CLASSES)} are built: give the embedding function yourself"
        )
    if unknown := recorded.config.keys() - cls.Config.model_fields.keys():
        raise ConfigurationError(f"{where}: {recorded.kind!r} has no setting {min(unknown)[:40]!r}, nothing is built")
    if cls is SentenceTransformerEmbedding:
        check_model_name(recorded.config.get("model"), recorded.config.get("revision"), where)
    return recorded


def first_problem(error: ValidationError) -> str:
    """Where it is and what it is, without the value.

    :param error: of a configuration.
    """
    first = error.errors(include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][:3]) or "the whole"
    place = place if place.isprintable() else repr(place)  # it may be a key of anybody's
    return f"{place}: {first['msg']}"


def build(config: object, where: str = HERE) -> EmbeddingFunction:
    """Build what the settings describe, once in a process, and verify it.

    :param config: as for :func:`parse`.
    :param where: what they come from, for messages.
    :raises ConfigurationError: where they are not ours, or the model is not here.
    :raises IndexMismatch: where what is here gives other vectors.
    """
    recorded = parse(config, where)
    key = recorded.model_dump_json()
    if (kept := _kept.get(key)) is not None:  # without waiting for a model that is being fetched
        return kept
    with _keeping:
        if key not in _kept:
            function = _built(recorded, where)
            if len(_kept) >= _MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[key] = function
        return _kept[key]


def _built(recorded: EmbeddingManifest, where: str) -> EmbeddingFunction:
    cls = CLASSES[recorded.kind]
    if cls is SentenceTransformerEmbedding:
        check_model_folder(recorded.config["model"], where)
    try:
        settings = cls.Config.model_validate(recorded.config, strict=True)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {recorded.kind}: {first_problem(error)}") from None
    cls.check_recorded(recorded.config, recorded.fingerprint, where)
    function = cls(settings)
    _check(recorded, function, where)
    return function


def _check(recorded: EmbeddingManifest, function: EmbeddingFunction, where: str) -> None:
    problem = None
    if function.fingerprint != recorded.fingerprint or function.dimension != recorded.dimension:
        problem = difference(recorded.fingerprint, function.fingerprint)
    else:
        now = function.canaries()
        cosine = least_cosine(recorded.canaries, now) if len(now) == len(recorded.canaries) else 0.0
        if not cosine >= CANARY_COSINE:
            problem = f"the cosine for a test text is {cosine:.3f}"
    if problem:
        raise IndexMismatch(
            f"{where} describes {describe_embedding(recorded)}, but {function.name} gives other vectors here: {problem}"
        )


def same_vectors(some: EmbeddingManifest, others: EmbeddingManifest) -> bool:
    """Whether two records are of functions whose vectors are comparable.

    :param some: of one function.
    :param others: of the other.
    """
    return (
        (some.kind, some.dimension, some.fingerprint) == (others.kind, others.dimension, others.fingerprint)
        and len(some.canaries) == len(others.canaries)
        and least_cosine(some.canaries, others.canaries) >= CANARY_COSINE
    )


def check_own(settings: object, recorded: EmbeddingManifest, where: str) -> None:
    """Refuse an index of ours whose collection was given another embedding function by plain chromadb.

    :param settings: as for :func:`named`.
    :param recorded: from the manifest.
    :param where: the collection's address.
    :raises IndexMismatch: naming both sides.
    :raises ConfigurationError: where they are not what chromadb writes.
    """
    said = named(settings, where)
    if said is None:
        return
    again = (
        f"the index was built with {describe_embedding(recorded)}: store that one again, with modify("
        "configuration={'embedding_function': retriever_chroma.RetrieverEmbeddingFunction(...)})"
    )
    if not said.is_ours:
        raise IndexMismatch(
            f"{where}: another program stored the embedding function {said.shown} in the collection's configuration, "
            f"{again}"
        )
    try:
        check_described(said, recorded, where)
    except ConfigurationError as error:  # then the index can be deleted all the same
        raise IndexMismatch(f"{error}. Else another program stored that, {again}") from None


def check_described(said: Named, recorded: EmbeddingManifest, where: str) -> None:
    """Refuse a configuration of ours that describes something else than a manifest.

    :param said: names our function.
    :param recorded: from the manifest.
    :param where: the collection's address.
    :raises IndexMismatch: naming both sides.
    :raises ConfigurationError: where the settings are not understood.
    """
    there = parse(said.config, f"{where}: the configuration")
    if not same_vectors(there, recorded):
        raise IndexMismatch(
            f"{where}: the collection's configuration describes {describe_embedding(there)}, which is not "
            f"{describe_embedding(recorded)}: {difference(there.fingerprint, recorded.fingerprint)}"
        )
