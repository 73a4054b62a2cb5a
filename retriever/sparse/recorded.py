"""An index knows its learned sparse model: what is recorded of it, and refusing any other."""

from __future__ import annotations

from collections.abc import Sequence

from retriever.errors import ConfigurationError, IndexMismatch, ManifestUnreadable
from retriever.identity import CANARY_COSINE, describe_settings, difference
from retriever.manifest import Manifest, SparseCanary, SparseManifest
from retriever.recorded import copying, rebuilt
from retriever.sparse import SparseFunction, SparseVector, resolve_sparse, sparse_class
from retriever.stores import KeepsSparse, Store


def sparse_manifest(function: SparseFunction) -> SparseManifest:
    """What is recorded of a learned sparse model.

    :param function: encodes the canaries.
    """
    return SparseManifest(
        kind=function.kind,
        config=function.config.model_dump(mode="json"),
        fingerprint=function.fingerprint,
        vocabulary=function.vocabulary,
        canaries=[
            SparseCanary(indices=vector.indices.tolist(), weights=vector.weights.tolist())
            for vector in function.canaries()
        ],
    )


def with_sparse(manifest: Manifest, store: Store, function: SparseFunction | None, keyword: bool) -> Manifest:
    """The manifest of a new index with its lexical legs.

    :param manifest: without them.
    :param store: where the index shall be.
    :param function: None for no sparse leg.
    :param keyword: whether there is a keyword leg.
    :raises ConfigurationError: where the store keeps no learned sparse vectors, or neither leg is wanted.
    """
    if function is None:
        if not keyword:
            raise ConfigurationError(
                "an index without keywords needs a learned sparse model in their place: give sparse=, or leave "
                "keyword out"
            )
        return manifest
    check_keeps_sparse(store)
    return manifest.model_copy(update={"sparse": sparse_manifest(function), "keyword": keyword})


def check_keeps_sparse(store: Store) -> None:
    """Refuse a store that has no learned sparse vectors.

    :param store: for an index with a learned sparse model.
    :raises ConfigurationError: where it does not keep them.
    """
    if not isinstance(store, KeepsSparse):
        raise ConfigurationError(
            f"{store.address} keeps no learned sparse vectors: leave sparse out, or take qdrant:, chroma: or memory:"
        )


def check_sparse(manifest: Manifest, address: str, function: SparseFunction | None, keyword: bool | None) -> None:
    """Refuse what did not make the index's lexical legs. A model with the recorded configuration is not loaded.

    :param manifest: of the index.
    :param address: of the index, for messages.
    :param function: given by the caller, or None.
    :param keyword: given by the caller, or None.
    :raises IndexMismatch: naming both sides.
    """
    if keyword is not None and keyword != manifest.keyword:
        raise IndexMismatch(
            f"the index at {address} was built {'with' if manifest.keyword else 'without'} keywords: leave keyword "
            "out, or index into a new store"
        )
    if function is None:
        return
    recorded = manifest.sparse
    if recorded is None:
        raise IndexMismatch(
            f"the index at {address} was built without a learned sparse model, not with {function.name}: leave sparse "
            f"out, or add it with: {_copying(address, function)}"
        )
    if (function.kind, function.config.model_dump(mode="json")) == (recorded.kind, recorded.config):
        return
    if function.fingerprint != recorded.fingerprint:
        raise IndexMismatch(
            f"the index at {address} was built with {describe_sparse(recorded)}, not with {function.name}: "
            f"{difference(recorded.fingerprint, function.fingerprint)}. Leave sparse out to open the index with its "
            f"own model; for another one: {_copying(address, function)}"
        )


def resolve_recorded_sparse(recorded: SparseManifest, address: str) -> SparseFunction:
    """Rebuild the learned sparse model of an index.

    :param recorded: from its manifest.
    :param address: of the index, for messages.
    :raises IndexMismatch: where the model's files here are not those that built the index.
    :raises ConfigurationError: where a model's name is none.
    :raises MissingExtra: where its packages are not installed.
    :raises ManifestUnreadable: where its settings are not understood.
    """
    return rebuilt(sparse_class(recorded.kind), recorded, address)


def verify_sparse_canaries(recorded: SparseManifest, function: SparseFunction, address: str) -> None:
    """Refuse a model that changed under its name.

    :param recorded: from the manifest.
    :param function: about to be used.
    :param address: of the index, for the message.
    :raises IndexMismatch: where its vectors differ.
    :raises ManifestUnreadable: where the manifest has not as many canaries as there are.
    """
    now = function.canaries()
    if len(now) != len(recorded.canaries):
        raise ManifestUnreadable(
            f"the manifest of {address} is damaged: it has {len(recorded.canaries)} sparse canaries, not {len(now)}"
        )
    then = [SparseVector.of(canary.indices, canary.weights) for canary in recorded.canaries]
    cosine = min(a.cosine(b) for a, b in zip(now, then, strict=True))
    if function.vocabulary != recorded.vocabulary or not cosine >= CANARY_COSINE:
        raise IndexMismatch(
            f"the index at {address} was built with {describe_sparse(recorded)}, but {function.name} now gives other "
            f"sparse vectors (cosine {cosine:.3f} for a test text): "
            f"{difference(recorded.fingerprint, function.fingerprint)}. Bring the former model back, or encode the "
            f"index anew: {_copying(address, function)}"
        )


def describe_sparse(recorded: SparseManifest) -> str:
    """How people call the learned sparse model of an index.

    :param recorded: from its manifest.
    """
    return describe_settings(recorded.kind, recorded.config)


def stored_sparse(store: Store, manifest: Manifest, keys: Sequence[str]) -> dict[str, SparseVector]:
    """The learned sparse vectors of some records; none where the index has no model for them.

    :param store: of the index.
    :param manifest: of the index.
    :param keys: of the records.
    """
    if manifest.sparse is None or not isinstance(store, KeepsSparse):
        return {}
    return store.sparse_vectors(keys)


def _copying(address: str, function: SparseFunction) -> str:
    return copying(address, "sparse", function, resolve_sparse)
