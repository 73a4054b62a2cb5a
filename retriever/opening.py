"""From what a user writes to a store, and to the name of a source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from retriever.address import parse_address
from retriever.chunking import ChunkerConfig
from retriever.embedding import EmbeddingFunction
from retriever.errors import ConfigurationError, InvalidInput, ManifestError, StoreNotFound
from retriever.identity import make_manifest, verify_records
from retriever.manifest import FieldType, Manifest
from retriever.planning import check_source
from retriever.recalibrating import calibrate_attached
from retriever.registry import find
from retriever.sparse import SparseFunction
from retriever.sparse.recorded import with_sparse
from retriever.stores import Store

PathInput = str | os.PathLike[str]
"""What public functions accept as a path."""


def resolve_store(given: PathInput | Store) -> Store:
    """The store at an address; nothing is opened.

    :param given: a folder, an address, or a store, which is returned as it is.
    :raises ConfigurationError: where it leads nowhere.
    """
    if not isinstance(given, str | os.PathLike):
        if not hasattr(given, "read_manifest"):
            raise ConfigurationError(f"a store is a folder, an address or a store, not a {type(given).__name__}")
        return given
    address = parse_address(os.fspath(given))
    make = find("retriever.stores", address.scheme).from_address  # type: ignore[attr-defined]  # by convention
    return cast("Store", make(address))


@runtime_checkable
class Recording(Protocol):
    """What a store adds to the protocol of stores if a collection that it attaches to may say what filled it."""

    def recorded_embedding(self) -> EmbeddingFunction | None:
        """The embedding function that the collection itself names, built and verified; None where it names none.

        :raises ConfigurationError: where it names one that is not to be built.
        :raises IndexMismatch: where the one that is here gives other vectors.
        """


def recorded_embedding(store: Store) -> EmbeddingFunction | None:
    """The embedding function that a store without an index knows by itself.

    :param store: as :func:`resolve_store` gives it.
    """
    return store.recorded_embedding() if isinstance(store, Recording) else None


def create_index(
    store: Store,
    embedding: EmbeddingFunction | None,
    chunker: ChunkerConfig | None,
    language: str | None,
    filter_fields: Mapping[str, FieldType],
    sparse: SparseFunction | None,
    keyword: bool | None,
) -> Manifest:
    """Make an index where there is none. What the arguments mean is said at :meth:`retriever.Retriever.open`.

    A collection that is attached to is looked at; where it is refused, what was made is taken back.

    :param store: as :func:`resolve_store` gives it.
    :param embedding: None where nobody named one.
    :return: the manifest in force.
    :raises StoreNotFound: where there is no embedding function.
    """
    if embedding is None:
        raise StoreNotFound(
            f"there is no index at {store.address}: to make one, say which embedding function to use, for "
            "example embedding='sentence-transformers/all-MiniLM-L6-v2' (--embedding on the command line)"
        )
    manifest = with_sparse(
        make_manifest(embedding, chunker, language, filter_fields), store, sparse, keyword is not False
    )
    store.create(manifest)
    try:
        verify_records(store, embedding)
        return calibrate_attached(store, manifest, embedding)
    except BaseException:
        store.destroy()
        raise


def destroy_index(store: PathInput | Store) -> str:
    """Delete an index, also one that is damaged or that something else built.

    :param store: as for :meth:`Retriever.open`.
    :return: its address.
    :raises StoreNotFound: where there is none.
    :raises StoreError: where the address holds something else, or another process holds the index.
    """
    place = resolve_store(store)
    try:
        with suppress(ManifestError):
            if place.read_manifest() is None:
                raise StoreNotFound(f"there is no index at {place.address}")
        place.destroy()
    finally:
        place.close()
    return place.address


def source_of(path: Path, name: str | None) -> str:
    """The name of the source that a path is indexed under.

    :param path: a folder, or a file, which belongs to its folder.
    :param name: what the caller wants it to be.
    :raises InvalidInput: where the path is not there or the name is unusable.
    """
    if not path.exists():
        raise InvalidInput(f"there is nothing at {path}: check the path")
    if name == "":
        raise InvalidInput("a path needs a source whose name is not empty, to keep it apart from other documents")
    folder = path if path.is_dir() else path.parent
    return check_source(folder.resolve().as_posix() if name is None else name)
