"""Passages for what does not cut or embed itself: other people's stores, and our store with other people's chunkers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retriever.chunking import make_chunker
from retriever.embedding import EmbeddingFunction
from retriever.evaluation.harness.scenario import ChunkerSpec
from retriever.evaluation.judgements import Span
from retriever.evaluation.systems import Passage, Unavailable, find_splitter
from retriever.indexing import WITHOUT_HEADINGS
from retriever.tokeniser import FastTokeniser
from retriever.types import Document

_AT_ONCE = 256  # texts


def passages(documents: Sequence[Document], chunker: ChunkerSpec, embedding: EmbeddingFunction) -> list[Passage]:
    """What systems index that are given finished passages.

    :param documents: of a dataset.
    :param chunker: ours or a peer's.
    :param embedding: whose tokens are counted.
    :return: their ids are their numbers.
    :raises Unavailable: where the chunker cannot run here.
    """
    cut = (
        cut_by_us(documents, chunker, embedding) if chunker.peer is None else cut_by_peer(documents, chunker, embedding)
    )
    return [Passage(str(number), span.document, text) for number, (span, text) in enumerate(cut)]


def cut_by_us(
    documents: Sequence[Document], chunker: ChunkerSpec, embedding: EmbeddingFunction
) -> Iterator[tuple[Span, str]]:
    """As :meth:`retriever.Retriever.index` cuts.

    :param documents: of a dataset.
    :param chunker: ours.
    :param embedding: whose tokens are counted.
    """
    ours = make_chunker(embedding, chunker.config)
    for start in range(0, len(documents), _AT_ONCE):
        page = documents[start : start + _AT_ONCE]
        chunked = ours.split(
            [document.text for document in page], [d.metadata.get("format") not in WITHOUT_HEADINGS for d in page]
        )
        for document, found in zip(page, chunked, strict=True):
            yield from (
                (Span(document.id, span.start, span.end), document.text[span.start : span.end]) for span in found.spans
            )


def cut_by_peer(
    documents: Sequence[Document], chunker: ChunkerSpec, embedding: EmbeddingFunction
) -> Iterator[tuple[Span, str]]:
    """As somebody else's chunker cuts, blank pieces left out.

    :param documents: of a dataset.
    :param chunker: names the peer.
    :param embedding: whose tokens are counted.
    :raises Unavailable: where it cannot run here, or the model has no tokenizer that it could count with.
    """
    name = chunker.peer or ""
    tokeniser = embedding.tokeniser
    if not isinstance(tokeniser, FastTokeniser):
        raise Unavailable(name, f"{embedding.name} has no tokenizer of the package tokenizers, by which it counts")
    splitter = find_splitter(name)(chunker.config.size, chunker.config.overlap, tokeniser.library)
    for document in documents:
        for start, end in splitter.split(document.text):
            if document.text[start:end].strip():
                yield Span(document.id, start, end), document.text[start:end]
