"""An index knows what built it: making its manifest, and refusing anything else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from pydantic import ValidationError

from retriever._version import __version__
from retriever.batched import batched
from retriever.chunking import ChunkerConfig
from retriever.embedding import EmbeddingFunction, embedding_class, resolve_embedding
from retriever.errors import IndexMismatch, InvalidInput, ManifestUnreadable
from retriever.keyword.analyser import Analyser
from retriever.keyword.config import AnalyserConfig
from retriever.manifest import EmbeddingManifest, FieldType, Manifest
from retriever.metadata import clean_metadata
from retriever.pictures import is_picture
from retriever.recorded import copying, rebuilt
from retriever.stores import Store

CANARY_COSINE = 0.999
"""Another machine, device or library version stays above this; another model does not."""

SAME_MODEL_COSINE = 0.95
"""Programs treat the same text a little differently; another model's vectors have nothing to do with these."""

_LOOKED_AT = 100
_EMBEDDED = 8
_LONGEST_SHOWN = 200


def make_manifest(
    embedding: EmbeddingFunction,
    chunker: ChunkerConfig | None,
    language: str | None,
    filter_fields: Mapping[str, FieldType],
) -> Manifest:
    """The manifest of a new index.

    :param embedding: embeds the canaries.
    :param chunker: None for the defaults.
    :param language: None for English.
    :param filter_fields: metadata keys to get a payload index.
    :raises InvalidInput: for a filter field of an unknown type.
    :raises ConfigurationError: for an unknown language.
    """
    clean_metadata(dict.fromkeys(filter_fields, ""), "filter_fields")  # the same rules for keys
    analyser = AnalyserConfig() if language is None else AnalyserConfig(language=language.lower())
    Analyser(analyser)  # refuses an unknown language before anything is written
    try:
        return Manifest(
            created_with=__version__,
            embedding=embedding_manifest(embedding),
            chunker=chunker or ChunkerConfig(),
            analyser=analyser,
            filter_fields=dict(filter_fields),
        )
    except ValidationError as error:
        raise _invalid(error) from None


def embedding_manifest(embedding: EmbeddingFunction) -> EmbeddingManifest:
    """What is recorded of an embedding function.

    :param embedding: embeds the canaries.
    """
    return EmbeddingManifest(
        kind=embedding.kind,
        config=embedding.config.model_dump(mode="json"),
        fingerprint=embedding.fingerprint,
        dimension=embedding.dimension,
        canaries=embedding.canaries().tolist(),
    )


def add_filter_fields(manifest: Manifest, fields: Mapping[str, FieldType], address: str) -> Manifest:
    """The manifest with more filter fields; the same object where all are there.

    :param manifest: of the index.
    :param fields: metadata keys to get a payload index.
    :param address: of the index, for messages.
    :raises InvalidInput: for a field of an unknown type.
    :raises IndexMismatch: for a field that the index has with another type.
    """
    clean_metadata(dict.fromkeys(fields, ""), "filter_fields")
    known = manifest.filter_fields
    for key, kind in fields.items():
        if known.get(key, kind) != kind:
            raise IndexMismatch(
                f"the index at {address} has the filter field {key!r} as {known[key]}, not as {kind}: leave it out, "
                "or index into a new store"
            )
    if fields.keys() <= known.keys():
        return manifest
    try:
        return Manifest.model_validate({**manifest.model_dump(), "filter_fields": {**known, **fields}})
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidInput:
    first = error.errors()[0]
    return InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def check_settings(
    manifest: Manifest,
    address: str,
    embedding: EmbeddingFunction | None,
    chunker: ChunkerConfig | None,
    language: str | None,
) -> None:
    """Refuse settings that did not build the index.

    An embedding function with the recorded configuration is not loaded for this: its canaries are compared when it
    is first used.

    :param manifest: of the index.
    :param address: of the index, for messages.
    :param embedding: given by the caller, or None.
    :param chunker: given by the caller, or None.
    :param language: given by the caller, or None.
    :raises IndexMismatch: naming both sides.
    """
    if chunker is not None and chunker != manifest.chunker:
        raise IndexMismatch(
            f"the index at {address} was built with the chunker {_plain(manifest.chunker.model_dump())}, not "
            f"{_plain(chunker.model_dump())}: leave the chunker out, or index into a new store"
        )
    if language is not None and language.lower() != manifest.analyser.language:
        raise IndexMismatch(
            f"the index at {address} was built for the language {manifest.analyser.language}, not {language}: leave "
            "the language out, or index into a new store"
        )
    recorded = manifest.embedding
    if embedding is None or (embedding.kind, embedding.config.model_dump(mode="json")) == (
        recorded.kind,
        recorded.config,
    ):
        return
    if embedding.fingerprint != recorded.fingerprint:
        raise IndexMismatch(
            f"the index at {address} was built with {describe_embedding(recorded)}, not with {embedding.name}: "
            f"{difference(recorded.fingerprint, embedding.fingerprint)}. Leave the embedding function out to open the "
            f"index with its own; for another one: {_copying(address, embedding)}"
        )


def resolve_recorded(recorded: EmbeddingManifest, address: str) -> EmbeddingFunction:
    """Rebuild the embedding function of an index.

    :param recorded: from its manifest.
    :param address: of the index, for messages.
    :raises IndexMismatch: where the model's weights here are not those that built the index.
    :raises ConfigurationError: where a model's name is none.
    :raises MissingExtra: where its packages are not installed.
    :raises ManifestUnreadable: where its settings are not understood.
    """
    return rebuilt(embedding_class(recorded.kind), recorded, address)


def verify_canaries(recorded: EmbeddingManifest, embedding: EmbeddingFunction, address: str) -> None:
    """Refuse a model that changed under its name.

    :param recorded: from the manifest.
    :param embedding: about to be used.
    :param address: of the index, for the message.
    :raises IndexMismatch: where dimension or vectors differ.
    :raises ManifestUnreadable: where the manifest has not as many canaries as there are.
    """
    if embedding.dimension != recorded.dimension:
        raise IndexMismatch(
            f"the index at {address} holds vectors of {recorded.dimension} dimensions, {embedding.name} gives "
            f"{embedding.dimension}"
        )
    now = embedding.canaries()
    if embedding.reads_images and len(recorded.canaries) == len(now) - 1:
        now = now[:-1]  # from before pictures were read
    if len(now) != len(recorded.canaries):
        raise ManifestUnreadable(
            f"the manifest of {address} is damaged: it has {len(recorded.canaries)} canaries, not {len(now)}"
        )
    cosine = least_cosine(now, recorded.canaries)
    if not cosine >= CANARY_COSINE:  # also where it is not a number
        raise IndexMismatch(
            f"the index at {address} was built with {describe_embedding(recorded)}, but {embedding.name} now gives "
            f"other vectors (cosine {cosine:.3f} for a test text or picture): "
            f"{difference(recorded.fingerprint, embedding.fingerprint)}. Bring the former model back, or embed the "
            f"index anew: {_copying(address, embedding)}"
        )


@np.errstate(over="ignore", invalid="ignore")
def least_cosine(some: ArrayLike, others: ArrayLike) -> float:
    """Of the cosines of two lists of vectors, row by row, the lowest. Vectors of length 0 equal only each other.

    :param some: of shape ``(n, d)``, n above 0.
    :param others: of the same shape.
    :return: not a number where one of theirs is too large for a vector.
    """
    a, b = np.asarray(some, np.float32), np.asarray(others, np.float32)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    equal = (a == b).all(axis=1).astype(np.float64)
    return float(np.divide((a * b).sum(axis=1), norms, out=equal, where=norms != 0).min())


def verify_records(store: Store, embedding: EmbeddingFunction) -> None:
    """Refuse an embedding function that did not make the vectors that a store holds already.

    A store that was just created is empty, unless it is attached to a collection of another program. A few of its
    shortest texts are embedded, since programs differ in how they treat texts beyond a model's length.

    :param store: with an index.
    :param embedding: said to have made its vectors.
    :raises IndexMismatch: where the vectors are another model's.
    """
    texts = _some_texts(store)
    sample = sorted(texts, key=lambda key: len(texts[key]))[:_EMBEDDED]
    vectors = store.vectors(sample)
    sample = [key for key in sample if key in vectors]
    if not sample:
        return
    fresh = embedding.embed_documents([texts[key] for key in sample], warn=False, fresh=True)
    stored = np.stack([vectors[key] for key in sample])
    norms = np.linalg.norm(fresh, axis=1)
    cosine = float(np.median((fresh * stored).sum(axis=1) / np.where(norms, norms, 1)))
    if cosine < SAME_MODEL_COSINE:
        raise IndexMismatch(
            f"the vectors in {store.address} were not made by {embedding.name} (median cosine {cosine:.3f} over "
            f"{len(sample)} of its texts): name the embedding function that filled the collection"
        )


def _some_texts(store: Store) -> dict[str, str]:
    """By key; from the first page of the ledger that has any, since other programs store vectors without a text."""
    for page in batched(store.entries(), _LOOKED_AT):
        chunks = store.fetch([store.key(entry.chunk_id) for entry in page])
        if texts := {k: c.text for k, c in chunks.items() if c.text.strip() and not is_picture(c.metadata)}:
            return texts
    return {}


def describe_embedding(recorded: EmbeddingManifest) -> str:
    """How people call the embedding function of an index.

    :param recorded: from its manifest.
    """
    return describe_settings(recorded.kind, recorded.config)


def describe_settings(kind: str, config: Mapping[str, object]) -> str:
    """How people call what a manifest records.

    :param kind: name in the registry.
    :param config: its settings.
    """
    settings = {
        key: _legible(value)
        for key, value in config.items()
        if value is not None and value is not True and (key, value) != ("too_long", "warn")
    }
    model = settings.pop("model", None)
    name = f"{_legible(kind)}:{model}" if model else _legible(kind)
    return f"{name} ({_plain(settings)})" if settings else name


def _legible(value: object) -> str:
    """Of what others may have written, not more than a message can bear."""
    text = str(value)
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return text if text.isprintable() else repr(text)


def _copying(address: str, embedding: EmbeddingFunction) -> str:
    return copying(address, "embedding", embedding, resolve_embedding)


def _plain(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def difference(recorded: Mapping[str, str], given: Mapping[str, str]) -> str:
    """In what two fingerprints differ, for messages.

    :param recorded: with the index.
    :param given: of the embedding function here.
    """
    keys = [key for key in {**recorded, **given} if recorded.get(key) != given.get(key)]
    if not keys:
        return "their settings are the same, their vectors are not"
    return "; ".join(f"{key} is {_short(recorded.get(key))} there, {_short(given.get(key))} here" for key in keys)


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return repr(value if len(value) <= 40 else value[:12] + "…")
