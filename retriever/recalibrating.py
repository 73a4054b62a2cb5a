"""Calibrating the keyword weights on the corpus, and rewriting them when it has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from retriever.batched import batched
from retriever.embedding.base import EmbeddingFunction
from retriever.embedding.reading import ReadsTokens
from retriever.errors import InvalidInput
from retriever.keyword.analyser import Analyser
from retriever.manifest import Calibration, Manifest
from retriever.pictures import is_picture
from retriever.sparse import SparseFunction
from retriever.sparse.recorded import stored_sparse
from retriever.sparse.vector import SparseVector
from retriever.stores import Record, Store
from retriever.types import Chunk

PAGE = 256
SURVEY = 2_000
"""Chunks of an attached collection that are measured."""
DRIFT = 0.2
"""The average length may be off the calibrated one by this share before a note."""


def calibrate(texts: Iterable[str], analyser: Analyser, unknown_rate: float) -> Calibration:
    """Measure the average length of chunks.

    :param texts: of the chunks, at least one.
    :param analyser: that counts terms.
    :param unknown_rate: share of tokens that the model does not know.
    """
    lengths = [analyser.terms(text).total() for text in texts]
    average = sum(lengths) / len(lengths)
    return Calibration(chunks=len(lengths), average_length=max(1.0, average), unknown_rate=unknown_rate)


def drift_notes(average_length: float, calibration: Calibration) -> list[str]:
    """A note where chunks are no longer what they were when the index was calibrated.

    :param average_length: terms a chunk, now.
    :param calibration: in force.
    :return: none or one.
    """
    if abs(average_length / calibration.average_length - 1) <= DRIFT:
        return []
    return [
        f"chunks have {average_length:.0f} terms on average, keyword weights were calibrated for "
        f"{calibration.average_length:.0f}: consider recalibrating"
    ]


def recalibrate(
    store: Store,
    manifest: Manifest,
    embedding: EmbeddingFunction,
    analyser: Analyser,
    sparse: SparseFunction | None = None,
) -> Manifest:
    """Measure every chunk, write the new average, then every record's weights.

    The manifest says ``complete: false`` in between, so that an interruption shows.

    :param store: the index.
    :param manifest: its manifest.
    :param embedding: whose tokeniser counts unknown tokens.
    :param analyser: that counts terms.
    :param sparse: the learned sparse model, whose tokeniser counts as well.
    :return: the new manifest.
    :raises InvalidInput: where the index is empty.
    """
    keys = [store.key(entry.chunk_id) for entry in store.entries()]
    if not keys:
        raise InvalidInput(f"the index at {store.address} is empty: there is nothing to calibrate on")
    texts = (chunk.text for page in batched(keys, PAGE) for chunk in store.fetch(page).values())
    calibration = calibrate(texts, analyser, unknown_rate(store, keys, embedding))
    if sparse is not None:
        calibration = calibration.model_copy(update={"sparse_unknown_rate": unknown_rate(store, keys, sparse)})
    if not manifest.keyword:  # no weights depend on it
        return _write(store, manifest, calibration)
    manifest = _write(store, manifest, calibration.model_copy(update={"complete": False}))
    for page in batched(keys, PAGE):
        chunks, vectors = store.fetch(page), store.vectors(page)
        learned = _learned(store, manifest, chunks, sparse)
        store.upsert([Record(c, vectors[key], analyser.terms(c.text), learned.get(key)) for key, c in chunks.items()])
    return _write(store, manifest, calibration)


def _learned(
    store: Store, manifest: Manifest, chunks: Mapping[str, Chunk], sparse: SparseFunction | None
) -> dict[str, SparseVector]:
    """Learned sparse vectors by key; only what another program wrote into the store has none, and is encoded."""
    learned = stored_sparse(store, manifest, list(chunks))
    lost = [key for key in chunks if key not in learned]
    if sparse is not None and lost:
        fresh = sparse.encode_documents([chunks[key].text for key in lost], warn=False)
        learned |= dict(zip(lost, fresh, strict=True))
    return learned


def calibrate_attached(store: Store, manifest: Manifest, embedding: EmbeddingFunction) -> Manifest:
    """Measure what an attached collection holds already: how many of its tokens the model knows decides the fusion.

    :param store: just created; nothing is measured where it is empty, as a new index is.
    :param manifest: its manifest.
    :param embedding: whose tokeniser counts unknown tokens.
    :return: the manifest in force.
    """
    keys = [store.key(entry.chunk_id) for entry in islice(store.entries(), SURVEY)]
    if not keys:
        return manifest
    manifest = store.read_manifest() or manifest  # the store may have measured the length that it needs
    rate = unknown_rate(store, keys, embedding)
    calibration = manifest.calibration
    if calibration is None:
        texts = (chunk.text for page in batched(keys, PAGE) for chunk in store.fetch(page).values())
        calibration = calibrate(texts, Analyser(manifest.analyser), rate)
    return _write(store, manifest, calibration.model_copy(update={"unknown_rate": rate}))


def unknown_rate(store: Store, keys: Sequence[str], reader: ReadsTokens) -> float:
    """Share of the tokens of some chunks that a model does not know, from 0 to 1.

    Words that are known of a picture are not what is embedded, and do not count.

    :param store: that holds the chunks.
    :param keys: of the chunks.
    :param reader: an embedding function or a learned sparse model.
    """
    return unknown_among((chunk for page in batched(keys, PAGE) for chunk in store.fetch(page).values()), reader)


def unknown_among(chunks: Iterable[Chunk], reader: ReadsTokens) -> float:
    """Share of the tokens of some chunks that a model does not know, from 0 to 1; as :func:`unknown_rate`.

    :param chunks: any number.
    :param reader: whose tokeniser counts; 0 where it has none, or knows all.
    """
    tokeniser = reader.tokeniser
    if tokeniser is None or tokeniser.unknown_id is None:
        return 0.0
    tokens = unknown = 0
    texts = (chunk.text for chunk in chunks if not is_picture(chunk.metadata))
    for page in batched(texts, PAGE):
        for encoding in tokeniser.encode_batch(page):
            tokens += len(encoding)
            unknown += encoding.ids.count(tokeniser.unknown_id)
    return unknown / max(1, tokens)


def _write(store: Store, manifest: Manifest, calibration: Calibration) -> Manifest:
    manifest = manifest.model_copy(update={"calibration": calibration})
    store.write_manifest(manifest)
    return manifest
