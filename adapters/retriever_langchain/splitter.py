"""The chunker as a LangChain text splitter."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_text_splitters import TextSplitter
from pydantic import ValidationError

from retriever.batched import batched
from retriever.chunking import Chunked, Chunker, ChunkerConfig, Span, make_chunker
from retriever.embedding import EmbeddingFunction, EmbeddingInput
from retriever.errors import ConfigurationError, InvalidInput
from retriever.indexing import WITHOUT_HEADINGS
from retriever.metadata import check_text
from retriever.planning import HEADINGS
from retriever.tokeniser import FastTokeniser, Tokeniser, WordTokeniser
from retriever_langchain.embedding_function import as_embedding_function
from retriever_langchain.executor import off_loop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

START_INDEX = "start_index"
"""Metadata key of a chunk's place in the text it was cut from, as all of LangChain's splitters name it."""

_Given = tuple[str, Mapping[Any, Any]]  # text and metadata

_AT_ONCE = 100  # texts: words that they share are tokenised once


class RetrieverTextSplitter(TextSplitter):
    """Cuts texts into chunks that the embedding model reads whole, and says where each of them stands.

    ``start_index`` is in the metadata of every chunk and always right:
    ``text[start_index : start_index + len(chunk)] == chunk``. ``headings``, the Markdown headings above a chunk, is
    there where there are any and the document has no ``headings`` of its own. Documents given are never changed.

    :param embedding: LangChain ``Embeddings``, an embedding function or its name: its tokeniser counts, its limit and
        prompt are kept to. It is loaded when the first text is split.
    :param chunk_size: most tokens (not characters) of a chunk. The model's limit lowers it.
    :param chunk_overlap: most tokens that repeat the end of the chunk before, less than half of ``chunk_size``; an
        eighth of it by default.
    :param tokeniser: counts tokens in place of an embedding function's.
    :raises ConfigurationError: where neither or both of ``embedding`` and ``tokeniser`` are given.
    :raises InvalidInput: for a size or an overlap out of range.
    """

    def __init__(
        self,
        embedding: EmbeddingInput | Embeddings | None = None,
        *,
        chunk_size: int = 256,
        chunk_overlap: int | None = None,
        tokeniser: Tokeniser | None = None,
    ) -> None:
        self._counts = _what_counts(embedding, tokeniser)
        self._config = _config(chunk_size, chunk_overlap)
        super().__init__(self._config.size, self._config.overlap, self._count, add_start_index=True)

    def split_text(self, text: str) -> list[str]:
        """The chunks of a text, in order; none of a blank one.

        :param text: the text.
        :raises InvalidInput: where it is no valid string.
        """
        (chunked,) = self._split([(text, {})])
        return [text[span.start : span.end] for span in chunked.spans]

    def create_documents(
        self, texts: Iterable[str], metadatas: Iterable[Mapping[Any, Any]] | None = None
    ) -> list[Document]:
        """Cut texts into documents.

        :param texts: any iterable.
        :param metadatas: one for each text; copied to each of its chunks.
        :raises InvalidInput: for a text that is no valid string, and where there are more or fewer metadatas than
            texts.
        """
        if isinstance(texts, str):
            raise InvalidInput("a list of texts is needed, not one string")
        texts = list(texts)
        metadatas = [{} for _ in texts] if metadatas is None else list(metadatas)
        if len(texts) != len(metadatas):
            raise InvalidInput(f"{len(texts)} texts were given with {len(metadatas)} metadatas: each needs its own")
        return self._made(zip(texts, metadatas, strict=True))

    def split_documents(self, documents: Iterable[Document]) -> list[Document]:
        """Cut documents into smaller ones.

        :param documents: any iterable; read a hundred at a time. One whose metadata says ``format`` is ``code``,
            ``csv`` or ``log``, as our loaders do, is not searched for headings, as when it is indexed.
        :raises InvalidInput: for a text that is no valid string.
        """
        return self._made((document.page_content, document.metadata) for document in documents)

    def transform_documents(self, documents: Iterable[Document], **kwargs: Any) -> Sequence[Document]:
        """As :meth:`split_documents`: the interface of LangChain's document transformers.

        :param documents: any iterable.
        :param kwargs: there are none.
        :raises InvalidInput: for any of them.
        """
        if kwargs:
            raise InvalidInput(f"transform_documents takes no {', '.join(sorted(kwargs))}")
        return self.split_documents(documents)

    async def atransform_documents(self, documents: Iterable[Document], **kwargs: Any) -> Sequence[Document]:
        """As :meth:`transform_documents`, off the event loop.

        :param documents: any iterable.
        :param kwargs: there are none.
        """
        return await off_loop(self.transform_documents, documents, **kwargs)

    @classmethod
    def from_huggingface_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, **kwargs: Any) -> RetrieverTextSplitter:
        """A splitter that counts with a tokeniser of the transformers library.

        :param tokenizer: a fast one.
        :param kwargs: as for the constructor.
        :raises ConfigurationError: where it is none, or a slow one, which does not say where its tokens are.
        """
        fast = getattr(tokenizer, "backend_tokenizer", None)
        if fast is None:
            raise ConfigurationError(f"a fast tokeniser of transformers is needed, not a {type(tokenizer).__name__}")
        return cls(tokeniser=FastTokeniser(fast), **kwargs)

    @classmethod
    def from_tiktoken_encoder(cls, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG003 - as LangChain has it
        """Not with tiktoken, whose tokens do not say where they are in the text.

        :param args: anything.
        :param kwargs: anything.
        :raises ConfigurationError: always.
        """
        raise ConfigurationError("tiktoken cannot count for this splitter: pass embedding= or tokeniser= instead")

    @cached_property
    def _chunker(self) -> Chunker:
        counts = self._counts
        return (
            make_chunker(counts, self._config)
            if isinstance(counts, EmbeddingFunction)
            else Chunker(counts, self._config)
        )

    def _made(self, given: Iterable[_Given]) -> list[Document]:
        made: list[Document] = []
        for batch in batched(given, _AT_ONCE):
            for (text, metadata), chunked in zip(batch, self._split(batch), strict=True):
                made += [_document(text, metadata, span) for span in chunked.spans]
        return made

    def _split(self, given: Sequence[_Given]) -> list[Chunked]:
        for text, _ in given:
            check_text(text, "a text to split")
        markdown = [metadata.get("format") not in WITHOUT_HEADINGS for _, metadata in given]
        return self._chunker.split([text for text, _ in given], markdown)

    def _count(self, text: str) -> int:
        """What LangChain calls the length function."""
        counts = self._counts
        tokeniser = (counts.tokeniser or WordTokeniser()) if isinstance(counts, EmbeddingFunction) else counts
        return len(tokeniser.encode_batch([text])[0])


def _what_counts(
    embedding: EmbeddingInput | Embeddings | None, tokeniser: Tokeniser | None
) -> EmbeddingFunction | Tokeniser:
    if embedding is not None and tokeniser is None:
        return as_embedding_function(embedding)
    if embedding is None and tokeniser is not None:
        return tokeniser
    raise ConfigurationError(
        "say what counts the tokens: either embedding=, best the one that will embed the chunks, or tokeniser="
    )


def _config(size: int, overlap: int | None) -> ChunkerConfig:
    try:
        return ChunkerConfig(size=size) if overlap is None else ChunkerConfig(size=size, overlap=overlap)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InvalidInput(f"chunk_size={size!r}, chunk_overlap={overlap!r}, in tokens: {reason}") from None


def _document(text: str, metadata: Mapping[Any, Any], span: Span) -> Document:
    own = copy.deepcopy(dict(metadata))
    if span.headings:
        own.setdefault(HEADINGS, list(span.headings))
    return Document(page_content=text[span.start : span.end], metadata={**own, START_INDEX: span.start})
