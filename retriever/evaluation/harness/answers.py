"""Each configuration's answers on a dataset, from as few indexes and searches as can be.

Configurations that share embedding, chunker, store and learned sparse model share an index; those that share its depth
share the search. Ours is measured through the public :class:`retriever.Retriever`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from retriever.embedding import EmbeddingFunction, TruncationWarning
from retriever.embedding.models import model_folder, weights_digest
from retriever.embedding.reading import ReadsTokens
from retriever.errors import ConfigurationError, StoreError
from retriever.evaluation.answering import HITS, Answers, Setting, answer, document_run, rerank
from retriever.evaluation.harness.configurations import Configuration
from retriever.evaluation.harness.datasets import Dataset
from retriever.evaluation.harness.passages import cut_by_peer
from retriever.evaluation.harness.places import empty_place
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import NOTHING_TO_FIND, UNEXPLAINED
from retriever.evaluation.harness.scenario import SearchSpec
from retriever.evaluation.judgements import Span
from retriever.evaluation.runs import Scored, best_documents
from retriever.evaluation.spans import span_measures
from retriever.evaluation.waterfall import explain_failures
from retriever.fusion import Fused
from retriever.report import IndexReport
from retriever.reranking import resolve_reranker
from retriever.reranking.sentence_transformers import CrossEncoderReranker, LateInteractionReranker
from retriever.retriever import Retriever
from retriever.search_options import SearchOptions, SearchSettings
from retriever.sparse import SparseFunction
from retriever.types import Document

TOP = 10
"""Documents among which a query has to have its answer."""


class Loss(BaseModel):
    """Where a query lost its answer; see :class:`retriever.evaluation.harness.records.QueryRecord`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    gold: str | None = None
    ranks: dict[str, int] = {}
    span: tuple[int, int] | None = None
    page: str | None = None


class Answered(BaseModel):
    """What a configuration found on a dataset.

    :param run: documents with scores by query, best first.
    :param losses: of the queries without a relevant document among the best ten.
    :param spans: measures of gold spans, by measure and query.
    :param chunks: records in the index.
    :param notes: what should be known of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: dict[str, list[Scored]]
    losses: dict[str, Loss]
    spans: dict[str, dict[str, float]]
    chunks: int
    notes: tuple[str, ...]


@dataclass
class Asked:
    """An index with a dataset in it, and what was asked of it so far.

    :param retriever: the index.
    :param dataset: what is in it.
    :param places: where records of a peer's chunker are in the dataset's documents, by record id; None for ours.
    :param chunks: how many records there are.
    :param notes: what should be known of it.
    :param progress: shows what is done.
    """

    retriever: Retriever
    dataset: Dataset
    places: Mapping[str, Span] | None
    chunks: int
    notes: tuple[str, ...]
    progress: Progress

    def __post_init__(self) -> None:
        self._answers: dict[tuple[int, str], Answers] = {}

    def answered(self, configuration: Configuration, *, keyword_only: bool) -> Answered:
        """What a configuration finds.

        :param configuration: one that this index was made for.
        :param keyword_only: ask no other leg: no configuration of the index needs it.
        """
        search = configuration.search
        if search.mmr is not None or search.min_cosine is not None:
            return self._searched(configuration)
        answers = self._asked(search.depth, "keyword" if keyword_only else "hybrid")
        setting = self._setting(search)
        rankings: Mapping[str, Sequence[Fused]] = answers.rankings(setting)
        reranked = None
        if search.rerank is not None:
            with self._task(f"{configuration.label}: reranking") as advance:
                rankings = reranked = rerank(
                    self.retriever, answers, rankings, search.rerank, depth=search.rerank_depth, progress=advance
                )
        return Answered(
            run={query: list(found) for query, found in document_run(answers, rankings, HITS).items()},
            losses=self._losses(answers, setting, rankings, reranked, configuration.label),
            spans=self._span_measures(answers, rankings),
            chunks=self.chunks,
            notes=self.notes,
        )

    def _setting(self, search: SearchSpec) -> Setting:
        given: SearchSettings = {
            "mode": search.mode,
            "fusion": search.fusion,
            "keyword_weight": search.keyword_weight,
            "sparse_weight": search.settings.get("sparse_weight"),
            "depth": search.depth,
        }
        return Setting.of(SearchOptions.make(1, given, self.retriever.untuned_defaults))

    def _asked(self, depth: int, mode: str) -> Answers:
        if (depth, mode) not in self._answers:
            queries = self.dataset.judgements.queries
            with self._task(f"{self.dataset.name}: asking {len(queries):,} queries") as advance:
                answers = answer(
                    self.retriever,
                    queries,
                    depth=depth,
                    mode="keyword" if mode == "keyword" else "hybrid",
                    progress=advance,
                )
            self._answers[depth, mode] = self._in_documents(answers)
        return self._answers[depth, mode]

    def _in_documents(self, answers: Answers) -> Answers:
        """A peer's chunks are records of their own: back to the documents that they were cut from."""
        if self.places is None:
            return answers
        return replace(answers, places={key: self.places[place.document] for key, place in answers.places.items()})

    def _searched(self, configuration: Configuration) -> Answered:
        """By the public search alone, where it does more than to fuse and to rerank."""
        search = configuration.search
        hits = min(search.depth, search.rerank_depth) if search.rerank else search.depth
        run: dict[str, list[Scored]] = {}
        spans: dict[str, list[Span]] = {}
        with self.progress.task(f"{configuration.label}: searching", len(self.dataset.judgements.queries)) as advance:
            for query, text in self.dataset.judgements.queries.items():
                found = self.retriever.search(text, hits, **search.settings)
                places = [self._place(hit.chunk.document_id, hit.chunk.start, hit.chunk.end) for hit in found]
                scored = [(place.document, hit.score) for place, hit in zip(places, found, strict=True)]
                run[query], spans[query] = best_documents(scored)[:HITS], places[:TOP]
                advance(1)
        gold = self.dataset.judgements.spans
        return Answered(
            run=run,
            losses=losses_unexplained(self.dataset, run),
            spans=span_measures(spans, gold, TOP) if gold else {},
            chunks=self.chunks,
            notes=self.notes,
        )

    def _place(self, document: str, start: int, end: int) -> Span:
        return Span(document, start, end) if self.places is None else self.places[document]

    def _losses(
        self,
        answers: Answers,
        setting: Setting,
        rankings: Mapping[str, Sequence[Fused]],
        reranked: Mapping[str, Sequence[Fused]] | None,
        label: str,
    ) -> dict[str, Loss]:
        if self.places is not None:
            return losses_unexplained(self.dataset, document_run(answers, rankings, TOP))
        with self._task(f"{label}: why queries failed") as advance:
            waterfall = explain_failures(
                self.retriever, self.dataset.judgements, answers, setting, reranked=reranked, k=TOP, progress=advance
            )
        losses = {
            failure.query: Loss(
                reason=failure.reason,
                gold=failure.document,
                ranks=dict(failure.ranks),
                span=(failure.chunk.start, failure.chunk.end) if failure.chunk else None,
                page=failure.page,
            )
            for failure in waterfall.failures
        }
        asked = self.dataset.judgements.queries.keys()
        return losses | {query: Loss(reason=NOTHING_TO_FIND) for query in asked - losses.keys() - set(waterfall.found)}

    def _span_measures(self, answers: Answers, rankings: Mapping[str, Sequence[Fused]]) -> dict[str, dict[str, float]]:
        gold = self.dataset.judgements.spans
        if not gold:
            return {}
        places = answers.places
        found = {q: [places[f.key] for f in ranked[:TOP] if f.key in places] for q, ranked in rankings.items()}
        return span_measures(found, gold, TOP)

    @contextmanager
    def _task(self, description: str) -> Iterator[Callable[[str, int, int], None]]:
        """A bar for those who tell how much of what is done."""
        with self.progress.task(description) as advance:
            before: dict[str, int] = {}

            def update(doing: str, done: int, total: int) -> None:
                del total
                advance(done - before.get(doing, 0))
                before[doing] = done

            yield update


def reranker_digest(name: str) -> str | None:
    """What a reranker's files hold: another model may stand under the same name.

    :param name: as a scenario has it.
    :return: None where it is not made of files, or they cannot be had.
    """
    try:
        reranker = resolve_reranker(name)
        is_model = isinstance(reranker, (CrossEncoderReranker, LateInteractionReranker))
        return weights_digest(model_folder(reranker.name.partition(":")[2])) if is_model else None
    except ConfigurationError:  # whoever asks it says so
        return None


def losses_unexplained(dataset: Dataset, run: Mapping[str, Sequence[Scored]]) -> dict[str, Loss]:
    """Which queries found nothing relevant, where nobody can say why.

    :param dataset: with the judgements.
    :param run: documents by query.
    """
    losses: dict[str, Loss] = {}
    for query in dataset.judgements.queries:
        relevant = dataset.judgements.relevant(query)
        if not relevant:
            losses[query] = Loss(reason=NOTHING_TO_FIND)
        elif not any(document in relevant for document, _ in run.get(query, ())[:TOP]):
            losses[query] = Loss(reason=UNEXPLAINED)
    return losses


@contextmanager
def asked_index(
    dataset: Dataset,
    configuration: Configuration,
    embedding: EmbeddingFunction,
    sparse: SparseFunction | None,
    parent: Path,
    progress: Progress,
) -> Iterator[Asked]:
    """An index of a dataset, until the block is left.

    :param dataset: what is indexed.
    :param configuration: its chunker and store.
    :param embedding: the embedding function.
    :param sparse: the learned sparse model, or None.
    :param parent: folder in which its own is made.
    :param progress: shows what is done.
    :raises StoreError: where the store cannot be had, or cannot hold the dataset.
    """
    chunker = configuration.chunker
    name = f"benchmark-{configuration.id}-{dataset.checksums.corpus[:8]}"  # of a collection on a server
    with empty_place(configuration.store, name, parent) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # it is in the notes
        with Retriever.open(
            store,
            embedding=embedding,
            chunker=chunker.config,
            language=dataset.spec.language,
            sparse=sparse,
        ) as retriever:
            with progress.task(
                f"{dataset.name}: indexing ({configuration.index_label})", len(dataset.documents)
            ) as advance:
                if chunker.peer is None:
                    report, places = retriever.index(_counted(dataset.documents, advance)), None
                else:
                    report, places = _upsert(retriever, dataset, configuration, embedding)
            chunks = store.count()
            notes = [*_notes(report, chunks), *_cut_queries(dataset, embedding, sparse)]
            yield Asked(retriever, dataset, places, chunks, tuple(notes), progress)


def _counted(documents: Sequence[Document], advance: Callable[[int], None]) -> Iterator[Document]:
    for document in documents:
        yield document
        advance(1)


def _upsert(
    retriever: Retriever, dataset: Dataset, configuration: Configuration, embedding: EmbeddingFunction
) -> tuple[IndexReport, dict[str, Span]]:
    """What somebody else cut, each piece a record."""
    passages = list(cut_by_peer(dataset.documents, configuration.chunker, embedding))
    places = {f"{n}": span for n, (span, _) in enumerate(passages)}
    return retriever.upsert(Document(f"{n}", text) for n, (_, text) in enumerate(passages)), places


def _notes(report: IndexReport, chunks: int) -> list[str]:
    if report.failed and not chunks:
        raise StoreError(f"no document could be indexed; the first: {report.failed[0].item}: {report.failed[0].reason}")
    notes = [f"{problem.item}: {problem.reason}" for problem in report.failed]
    if report.truncated:
        notes.append(f"the ends of {report.truncated:,} of {chunks:,} chunks are beyond what the model reads")
    if count := report.sparse_truncated:
        notes.append(f"the ends of {count:,} of {chunks:,} chunks are beyond what the learned sparse model reads")
    return notes


def _cut_queries(dataset: Dataset, *models: ReadsTokens | None) -> Iterator[str]:
    queries = list(dataset.judgements.queries.values())
    for what, model in zip(("model", "learned sparse model"), models, strict=True):
        if model is not None and (count := sum(model.cut(queries, "query"))):
            yield f"the ends of {count:,} of {len(queries):,} queries are beyond what the {what} reads"
