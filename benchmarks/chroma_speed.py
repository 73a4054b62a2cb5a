"""Writing to embedded Chroma and hybrid queries on it, next to bare chromadb and bare tantivy with the same content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import chromadb
import tantivy

from benchmarks.query_speed import (
    DIMENSION,
    OPTIONS,
    WARM_UP,
    WORDS,
    Question,
    both,
    calibrated,
    corpus,
    percentile,
    seconds,
    turned,
)
from benchmarks.report import Bar, Row, formatted, progress
from retriever import Retriever
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.indexing import BATCH
from retriever.keyword.analyser import Analyser
from retriever.keyword.index import KeywordRecord
from retriever.keyword.tantivy_document import BODY_TOKENIZER, document, schema
from retriever.search_options import DEPTH
from retriever.searching import Searcher
from retriever.stores import Query, Record
from retriever_chroma import ChromaStore
from retriever_chroma.convert import HASH, to_metadata
from retriever_chroma.making import CONFIGURATION

UPSERT = Bar(at_least=0.9)
TIMES = Bar(at_most=1.5)
_HEAP = 64_000_000


class BareChroma:
    """A collection and a tantivy index with the same settings as ours, written to and asked directly.

    :param folder: nothing is there yet.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "tantivy").mkdir(parents=True)
        self._client = chromadb.PersistentClient(folder / "chroma")
        self._collection = self._client.create_collection(
            "bare",
            embedding_function=None,
            configuration=CONFIGURATION,  # type: ignore[arg-type]  # a plain dict of that shape
        )
        self._schema = schema()
        self._index = tantivy.Index(self._schema, str(folder / "tantivy"))
        terms = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer(BODY_TOKENIZER, terms)
        self._writer = self._index.writer(_HEAP, 1)

    def upsert(self, content: Content) -> None:
        """Write ready-made content to the collection alone.

        :param content: of one batch.
        """
        self._collection.upsert(
            ids=content.ids, embeddings=content.vectors, documents=content.texts, metadatas=content.metadatas
        )

    def add(self, content: Content) -> None:
        """Write ready-made content to the keyword index alone; ready-made are the records, not tantivy's documents.

        :param content: of one batch.
        """
        for record in content.keyword:
            self._writer.add_document(document(record))

    def commit(self) -> None:
        """Make the keyword index visible."""
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()

    def calls(self, query: Query, ids: Sequence[str]) -> dict[str, Callable[[], object]]:
        """The parts of a hybrid query, ready made.

        :param query: with a vector and terms.
        :param ids: of the records to fetch.
        """
        searcher = self._index.searcher()
        words = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "body", term)) for term in query.terms or {}
        ]
        keyword = tantivy.Query.boolean_query(words)
        vector: Any = query.vector
        if vector is None:
            raise ValueError("a query with both legs is needed")
        return {
            QUERY: lambda: self._collection.query(
                query_embeddings=[vector], n_results=query.depth, include=["distances"]
            ),
            KEYWORD: lambda: searcher.search(keyword, query.depth, count=False),
            GET: lambda: self._collection.get(ids=list(ids), include=["metadatas", "documents"]),
        }


@dataclass(frozen=True, slots=True)
class Content:
    """A batch in the form that the bare clients take."""

    ids: list[str]
    vectors: list[Any]
    texts: list[str]
    metadatas: list[Any]
    keyword: list[KeywordRecord]

    @classmethod
    def of(cls, batch: Sequence[Record]) -> Content:
        """The content of records.

        :param batch: to be written.
        """
        metadatas = [to_metadata(record.chunk) for record in batch]
        keyword = [KeywordRecord(r.chunk, r.terms, m[HASH]) for r, m in zip(batch, metadatas, strict=True)]
        texts = [record.chunk.text for record in batch]
        return cls([r.chunk.id for r in batch], [r.vector for r in batch], texts, metadatas, keyword)


OURS = "ours"
QUERY, KEYWORD, GET = f"collection.query for {DEPTH} ids", f"tantivy for {DEPTH}", f"get of {OPTIONS.k}"


@dataclass(slots=True)
class Writing:
    """Seconds for the same records."""

    records: int = 0
    ours: float = 0.0
    chroma: float = 0.0
    tantivy: float = 0.0


def run(chunks: int, queries: int) -> list[Row]:
    """Write a corpus to both sides in turn, then ask both the same questions.

    :param chunks: how many.
    :param queries: how many are measured.
    """
    with TemporaryDirectory(prefix="retriever-speed-") as name:
        store = ChromaStore(path=Path(name) / "ours")
        embedding = HashedEmbedding(HashedConfig(dimension=DIMENSION))
        with Retriever.open(store, embedding=embedding) as retriever:
            analyser = Analyser(retriever.manifest.analyser)
            store.write_manifest(calibrated(retriever.manifest, analyser, chunks))
            bare = BareChroma(Path(name) / "bare")
            writing = Writing()
            questions: list[Question] = []
            for batch in corpus(chunks, queries, analyser, questions):
                _write(store, bare, batch, writing)
            # What is pending is committed by the first search.
            writing.ours += seconds(lambda: store.search(Query(depth=1, terms={"nothing": 1})))
            writing.tantivy += seconds(bare.commit)
            taken = _ask(store, bare, analyser, questions)
    return [_write_row(writing), *_query_rows(chunks, taken)]


def _write(store: ChromaStore, bare: BareChroma, batch: Sequence[Record], writing: Writing) -> None:
    content = Content.of(batch)
    contestants = {
        "ours": lambda: store.upsert(batch),
        "chroma": lambda: bare.upsert(content),
        "tantivy": lambda: bare.add(content),
    }
    for name, call in turned(contestants, writing.records // BATCH):
        setattr(writing, name, getattr(writing, name) + seconds(call))
    writing.records += len(batch)


def _ask(
    store: ChromaStore, bare: BareChroma, analyser: Analyser, questions: Sequence[Question]
) -> dict[str, list[float]]:
    """Seconds of each query by contestant. All are asked everything once before, so none is warmer than another."""
    searcher = Searcher(store, analyser)
    taken: dict[str, list[float]] = {name: [] for name in (OURS, QUERY, KEYWORD, GET)}
    contests: list[dict[str, Callable[[], object]]] = []
    for question in questions:
        query = Query(DEPTH, question.vector, analyser.terms(question.text))
        hits = searcher.search(question.text, question.vector, OPTIONS)  # only they say which records the get is of
        calls = bare.calls(query, [hit.chunk.id for hit in hits])
        for call in calls.values():
            call()
        contests.append({**calls, OURS: partial(searcher.search, question.text, question.vector, OPTIONS)})
    with progress("asking", len(contests)) as advance:
        for turn, contestants in enumerate(contests[min(WARM_UP, len(contests) // 2) :]):
            for name, call in turned(contestants, turn):
                taken[name].append(seconds(call))
            advance(1)
    return taken


def _write_row(writing: Writing) -> Row:
    ours, bare = writing.records / writing.ours, writing.records / (writing.chroma + writing.tantivy)
    alone = writing.records / writing.chroma
    return Row(
        (f"writing {writing.records:,} analysed chunks of {WORDS} words to Chroma",),
        ours / bare,
        "share",
        UPSERT,
        shown={
            "ours": f"{formatted(ours, 'rate')} from records",
            "beside it": f"{formatted(bare, 'rate')} by bare chromadb and tantivy given the same; "
            f"{formatted(alone, 'rate')} by chromadb alone",
        },
        details={"ours": ours, "bare": bare, "chromadb alone": alone},
    )


def _query_rows(chunks: int, taken: dict[str, list[float]]) -> list[Row]:
    parts = [taken[name] for name in (QUERY, KEYWORD, GET)]
    sums = [sum(spent) for spent in zip(*parts, strict=True)]
    row = Row(
        (f"hybrid query on Chroma at {chunks:,} chunks, p50",),
        percentile(taken[OURS], 50) / percentile(sums, 50),
        "times",
        TIMES,
        shown={"ours": both(taken[OURS]), "beside it": f"{both(sums)}, the three bare calls"},
        details={f"p{p}, {name}": percentile(spent, p) for name, spent in taken.items() for p in (50, 90)},
    )
    bare = [
        Row((f"bare {name}, p50",), percentile(taken[name], 50), "milliseconds", shown={"beside it": both(taken[name])})
        for name in (QUERY, KEYWORD, GET)
    ]
    return [row, *bare]
