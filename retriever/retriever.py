"""The facade: open an index by its address, index into it, search it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from numpy.typing import ArrayLike

from retriever.chunking import ChunkerConfig, make_chunker
from retriever.embedding import EmbeddingFunction, EmbeddingInput, resolve_embedding
from retriever.errors import InvalidInput
from retriever.filters import And, Filter, FilterInput, Reserved, matches, matching, parse_filter
from retriever.fusion import Method
from retriever.identity import (
    add_filter_fields,
    check_settings,
    resolve_recorded,
    verify_canaries,
)
from retriever.indexing import IndexRun, Parts, Progress
from retriever.info import IndexInfo, describe
from retriever.keyword.analyser import Analyser
from retriever.loading import Unloaded, load
from retriever.loading.langchain import LangChainSource, stream
from retriever.manifest import FieldType, Manifest, SearchDefaults
from retriever.metadata import check_text
from retriever.opening import PathInput, create_index, recorded_embedding, resolve_store, source_of
from retriever.planning import check_source
from retriever.recalibrating import recalibrate
from retriever.report import IndexReport
from retriever.reranking import RerankInput
from retriever.search_options import (
    RERANK_DEPTH,
    Defaults,
    SearchOptions,
    SearchSettings,
    check_query,
    check_vector,
)
from retriever.searching import Searcher
from retriever.sparse import SparseFunction, SparseInput, SparseVector, resolve_sparse
from retriever.sparse.recorded import check_sparse, resolve_recorded_sparse, verify_sparse_canaries
from retriever.stores import Store
from retriever.types import Chunk, Document, Hit, Mode
from retriever.upserting import UpsertRun
from retriever.verifying import VerifyReport, verify


class Retriever:
    """One index: where it is, what built it, and how to search it.

    Made by :meth:`open`. May be used from several threads; indexing runs one at a time. As a context manager it
    closes its store.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        embedding: EmbeddingFunction | None,
        sparse: SparseFunction | None = None,
    ) -> None:
        """Internal: use :meth:`open`."""
        self._store = store
        self._given = embedding
        self._given_sparse = sparse
        self._manifest = manifest
        self._analyser = Analyser(manifest.analyser)
        self._searcher = Searcher(store, self._analyser)
        self._writing = threading.Lock()
        self._writer: int | None = None

    @classmethod
    def open(
        cls,
        store: PathInput | Store,
        *,
        embedding: EmbeddingInput | None = None,
        chunker: ChunkerConfig | None = None,
        language: str | None = None,
        filter_fields: Mapping[str, FieldType] | None = None,
        sparse: SparseInput | None = None,
        keyword: bool | None = None,
    ) -> Retriever:
        """Open the index at an address; make it if there is none and an embedding function is given.

        An index that exists needs its address alone. What is given beside must be what built it.

        :param store: a folder, an address such as ``memory:``, or a store object.
        :param embedding: an embedding function; ``hashed``, ``KIND:NAME``; or a sentence-transformers model by hub
            name or folder. Needed for a new index.
        :param chunker: how documents are cut; 256 tokens with an overlap of 32 by default.
        :param language: of stemming and stop words in the keyword leg; ``english`` by default.
        :param filter_fields: metadata keys that filters often use, and whether they hold ``keyword``, ``number`` or
            ``bool``: they get a payload index. Filters work on all keys, these are quick. New ones are added.
        :param sparse: a learned sparse model, which adds a leg to a new index: ``splade:NAME``, a folder or a hub name.
        :param keyword: False for a new index whose learned sparse model takes the place of BM25.
        :raises StoreNotFound: where there is no index and no embedding function.
        :raises IndexMismatch: where the index was built with something else; the message names both sides.
        :raises StoreError: where the address holds something else, or another process holds the index.
        :raises ConfigurationError: for an address, a model or a setting that leads nowhere.
        """
        place = resolve_store(store)
        try:
            manifest = place.read_manifest()
            function = None if embedding is None else resolve_embedding(embedding)
            terms = None if sparse is None else resolve_sparse(sparse)
            if manifest is None:
                function = function or recorded_embedding(place)
                manifest = create_index(place, function, chunker, language, filter_fields or {}, terms, keyword)
                opened = cls(place, manifest, function, terms)
                opened.__dict__ |= {"embedding": function, "sparse": terms}  # just built: nothing to verify
                return opened
            check_settings(manifest, place.address, function, chunker, language)
            check_sparse(manifest, place.address, terms, keyword)
            extended = add_filter_fields(manifest, filter_fields or {}, place.address)
            if extended is not manifest:
                place.write_manifest(extended)
            return cls(place, extended, function, terms)
        except BaseException:
            place.close()
            raise

    @property
    def address(self) -> str:
        """Where the index is."""
        return self._store.address

    @property
    def store(self) -> Store:
        """The store below."""
        return self._store

    @property
    def manifest(self) -> Manifest:
        """What the index knows of itself."""
        return self._manifest

    @property
    def search_defaults(self) -> Defaults:
        """What :meth:`search` uses where the caller does not say: what was tuned, else what suits most."""
        return Defaults.of(self.manifest)

    @property
    def untuned_defaults(self) -> Defaults:
        """What :meth:`search` would use if nothing had been tuned."""
        return Defaults.untuned(self.manifest)

    @cached_property
    def embedding(self) -> EmbeddingFunction:
        """The embedding function that built the index, loaded and verified when it is first needed.

        :raises IndexMismatch: where its vectors are not those of the index.
        """
        recorded = self._manifest.embedding
        function = self._given or resolve_recorded(recorded, self.address)
        verify_canaries(recorded, function, self.address)
        return function

    @cached_property
    def sparse(self) -> SparseFunction | None:
        """The learned sparse model of the index, loaded and verified when it is first needed; None where it has none.

        :raises IndexMismatch: where its vectors are not those of the index.
        """
        recorded = self._manifest.sparse
        if recorded is None:
            return None
        function = self._given_sparse or resolve_recorded_sparse(recorded, self.address)
        verify_sparse_canaries(recorded, function, self.address)
        return function

    def index(
        self,
        what: PathInput | Iterable[Document | Unloaded] | LangChainSource,
        *,
        source: str | None = None,
        prune: bool | None = None,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring the index in step with a folder, a file, or a stream of documents.

        Only what is new is embedded. May be killed at any moment: running it again finishes the work.

        :param what: a path, or documents (a generator of a million works; memory stays bounded, at some 70 bytes a
            document beside a window of about 2 MB of text); or a LangChain loader or its documents, see
            :mod:`retriever.loading.langchain` for their ids.
        :param source: a name that keeps this origin apart from others. By default the full path of the folder (of a
            file's folder), and ``""`` for documents, which no path may have.
        :param prune: delete what is not there any more: documents of this source, and for a file only what was in
            it. By default true for a path and false for documents. What failed to load is never pruned. Without a
            source that reaches what :meth:`upsert` wrote as well: name a source to keep apart from it.
        :param progress: called with the report whenever it has changed.
        :return: what was done, and what could not be done and why.
        :raises InvalidInput: for a path that does not exist, or an unusable source name.
        :raises EmbeddingError: where the embedding function fails.
        :raises StoreError: where the store fails.
        """
        items: Iterable[Document | Unloaded]
        if isinstance(what, str | os.PathLike):
            path = Path(what)
            name = source_of(path, source)
            items = load(path, images=self.embedding.reads_images)
            pruning, file = prune is not False, None if path.is_dir() else path.name
        else:
            items, name, pruning, file = stream(what), check_source(source or ""), bool(prune), None
        run = IndexRun(self._parts, name, progress)
        with self._exclusively():
            return run.run(items, prune=pruning, file=file)

    def upsert(self, documents: Iterable[Document], *, progress: Progress | None = None) -> IndexReport:
        """Write documents as they are: each is one record, whose id is the document's.

        For callers who cut texts themselves and keep ids. They lie beside the documents without a source, which
        ``index(documents, prune=True)`` prunes. What is there already is not embedded again; other metadata is
        rewritten; another text replaces the former. The id of a chunk that :meth:`index` made is refused.

        :param documents: any number, each id once; what is longer than the model reads is counted in the report.
        :param progress: as for :meth:`index`.
        :return: what was done, and which documents could not be written and why.
        :raises EmbeddingError: where the embedding function fails.
        :raises StoreError: where the store fails.
        """
        whole = make_chunker(self.embedding, ChunkerConfig(kind="whole"))
        run = UpsertRun(replace(self._parts, chunker=whole), "", progress)
        with self._exclusively():
            return run.run(stream(documents), prune=False)

    def get(self, ids: Sequence[str]) -> list[Chunk]:
        """Chunks by their ids.

        :param ids: as ``hit.chunk.id`` has them, or as given to :meth:`upsert`.
        :return: in the order asked for; those that are not there are left out.
        """
        keys = [self._store.key(name) for name in _ids(ids, "ids")]
        found = self._store.fetch(keys)
        return [found[key] for key in keys if key in found]

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        offset: int = 0,
        mode: Mode = "hybrid",
        filter: FilterInput = None,  # noqa: A002 - the field's word
        depth: int | None = None,
        fusion: Method | None = None,
        keyword_weight: float | None = None,
        sparse_weight: float | None = None,
        min_cosine: float | None = None,
        rerank: RerankInput | None = None,
        rerank_depth: int = RERANK_DEPTH,
        mmr: float | None = None,
    ) -> list[Hit]:
        """Find chunks.

        :param query: a question, words, an identifier.
        :param k: how many hits at most.
        :param offset: how many hits to pass over: ``k`` times the page's number.
        :param mode: ``hybrid``, which asks all legs that the index has, or one alone: ``semantic``, ``keyword``,
            ``sparse``.
        :param filter: a dictionary in the language of :mod:`retriever.filters`; holds in all legs.
        :param depth: candidates a leg, 200 by default. Pages agree where it is the same for all of them.
        :param fusion: ``relative``, the default, adds the legs' scores, each stretched to 0 … 1; ``rrf`` adds
            reciprocal ranks.
        :param keyword_weight: share of the keyword leg, from 0 to 1. By default by how much of the corpus the model
            can read, see :func:`retriever.fusion.keyword_weight`. A learned sparse model's leg is part of it. Where the
            index was tuned, the defaults of these three are what :func:`retriever.evaluation.tune` found.
        :param sparse_weight: the learned sparse model's part of that share, from 0 to 1. By default half of it, and
            less where that model cannot read the corpus, see :func:`retriever.fusion.sparse_weight`.
        :param min_cosine: leave out what is less similar to the query than this raw cosine, from -1 to 1.
        :param rerank: a reranker, which reads the best candidates together with the query and orders them anew; or
            the name of one: a cross-encoder by hub name or folder, or ``late-interaction:NAME``.
        :param rerank_depth: how many candidates it reads.
        :param mmr: reorder for variety by maximal marginal relevance: 1 is relevance alone, 0 variety alone.
        :return: best first; each with its rank and raw score in each leg and the terms that matched.
        :raises InvalidInput: for an empty query or an option out of range.
        :raises FilterError: for a filter that does not parse.
        """
        return self.search_batch(
            [query],
            k,
            offset=offset,
            mode=mode,
            filter=filter,
            depth=depth,
            fusion=fusion,
            keyword_weight=keyword_weight,
            sparse_weight=sparse_weight,
            min_cosine=min_cosine,
            rerank=rerank,
            rerank_depth=rerank_depth,
            mmr=mmr,
        )[0]

    def search_batch(self, queries: Sequence[str], k: int = 10, **settings: Unpack[SearchSettings]) -> list[list[Hit]]:
        """Find chunks for several queries, which are embedded together.

        :param queries: as for :meth:`search`.
        :param k: how many hits at most for each.
        :param settings: the keyword arguments of :meth:`search`.
        :return: the hits of each query, in order.
        """
        if isinstance(queries, str):
            raise InvalidInput("search_batch takes a list of queries; for one query use search")
        options = self._options(k, settings)
        texts = [check_query(query) for query in queries]
        if not texts:
            return []
        vectors = list(self.embedding.embed_queries(texts)) if options.needs_vector else [None] * len(texts)
        sparse = self._sparse_queries(texts) if options.needs_sparse else [None] * len(texts)
        asked = zip(texts, vectors, sparse, strict=True)
        return [self._searcher.search(text, vector, options, terms) for text, vector, terms in asked]

    def search_by_vector(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        offset: int = 0,
        filter: FilterInput = None,  # noqa: A002
        depth: int | None = None,
        min_cosine: float | None = None,
        mmr: float | None = None,
    ) -> list[Hit]:
        """Find chunks by a vector, in the semantic leg alone. The arguments are those of :meth:`search`.

        :param vector: made by the index's embedding function; shape ``(dimension,)``.
        :return: best first.
        :raises InvalidInput: for a vector that does not fit, or an option out of range.
        """
        settings: SearchSettings = {"offset": offset, "mode": "semantic", "filter": filter, "depth": depth}
        options = self._options(k, {**settings, "min_cosine": min_cosine, "mmr": mmr})
        return self._searcher.search("", check_vector(vector, self._manifest.embedding.dimension), options)

    def delete(
        self,
        *,
        chunks: Sequence[str] | None = None,
        documents: Sequence[str] | None = None,
        source: str | None = None,
        filter: FilterInput = None,  # noqa: A002
    ) -> int:
        """Delete the chunks that satisfy all that is given; at least one thing must be.

        :param chunks: ids of chunks, or as given to :meth:`upsert`.
        :param documents: ids as hits show them.
        :param source: name of a source.
        :param filter: in the filter language.
        :return: how many chunks were deleted.
        :raises InvalidInput: where nothing is given.
        """
        conditions: list[Filter] = []
        if documents is not None:
            conditions.append(matching(_ids(documents, "documents"), Reserved.DOCUMENT))
        if source is not None:
            conditions.append(matching(_ids([source], "source"), Reserved.SOURCE))
        parsed = parse_filter(filter)
        if parsed is not None:
            conditions.append(parsed)
        if chunks is None and not conditions:
            raise InvalidInput(
                "say what to delete: chunks, documents, source or filter; delete_all deletes the whole index"
            )
        condition = And(tuple(conditions))
        wanted = None if chunks is None else list(dict.fromkeys(_ids(chunks, "chunks")))
        with self._exclusively():
            if wanted is None:
                chunk_ids = [entry.chunk_id for entry in self._store.entries(condition)]
            else:
                chunk_ids = [chunk.id for chunk in self.get(wanted) if matches(condition, chunk)]
            self._store.delete(chunk_ids)
        return len(chunk_ids)

    def delete_all(self) -> None:
        """Delete the index with its manifest, and close it."""
        with self._exclusively(refresh=False):
            self._store.destroy()
            self._store.close()

    def info(self) -> IndexInfo:
        """What the index holds and what built it. Reads the whole ledger; loads no model."""
        with self._exclusively():
            return describe(self._store, self.manifest)

    def verify(self) -> VerifyReport:
        """Read every record and embed a sample again, to find damage."""
        with self._exclusively():
            return verify(self._store, self.manifest, self.embedding, self._analyser, self.sparse)

    def recalibrate(self) -> Manifest:
        """Measure the average length of all chunks and rewrite the keyword weights with it; nothing is embedded.

        Worth it after the corpus has changed its character, which ``index`` and ``verify`` warn of. If it is
        interrupted, ``verify`` says so; run it again.
        """
        with self._exclusively():
            return recalibrate(self._store, self.manifest, self.embedding, self._analyser, self.sparse)

    def set_search_defaults(self, defaults: SearchDefaults | None) -> None:
        """Keep in the index how to search where the caller does not say; :func:`retriever.evaluation.tune` does.

        :param defaults: None for those of the package.
        """
        with self._exclusively():
            current = self._store.read_manifest() or self._manifest
            self._store.write_manifest(current.searched_with(defaults))

    def close(self) -> None:
        """Let go of the store. The next call opens it again."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Retriever({self.address!r})"

    @cached_property
    def _parts(self) -> Parts:
        chunker = make_chunker(self.embedding, self._manifest.chunker)
        return Parts(self._store, self.embedding, chunker, self._analyser, self.sparse, self._manifest.keyword)

    def _sparse_queries(self, texts: Sequence[str]) -> Sequence[SparseVector | None]:
        return [None] * len(texts) if self.sparse is None else self.sparse.encode_queries(texts)

    @contextmanager
    def _exclusively(self, *, refresh: bool = True) -> Iterator[None]:
        """One at a time of what writes, and of what reads the whole ledger. Afterwards the manifest is read anew."""
        if self._writer == threading.get_ident():
            raise InvalidInput("this thread is indexing already: finish that before the index is changed or read whole")
        with self._writing:
            self._writer = threading.get_ident()
            try:
                yield
            finally:
                self._writer = None
                if refresh:
                    self._manifest = self._store.read_manifest() or self._manifest

    def _options(self, k: int, settings: SearchSettings) -> SearchOptions:
        return SearchOptions.make(k, settings, self.search_defaults)


def _ids(given: Sequence[str], what: str) -> list[str]:
    if isinstance(given, str):
        raise InvalidInput(f"{what} is a list of ids, not one string")
    for name in given:
        check_text(name, f"{what}: {name!r}")
    return list(given)
