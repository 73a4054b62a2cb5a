"""Documents of LangChain, from its loaders or given directly. LangChain itself is not needed for this.

Their ids: the document's own where it has one. Otherwise its ``source`` in the metadata, which loaders set to a path or
an address. Without a source it is a hash of the text. The second document of one such name, as a page of a PDF, is
``source#2``, the third ``source#3``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeGuard, runtime_checkable

from retriever.errors import InvalidInput
from retriever.loading.outcome import Unloaded
from retriever.types import Document


class LangChainDocument(Protocol):
    """What LangChain calls a document."""

    id: str | None
    page_content: str
    metadata: dict[str, Any]


@runtime_checkable
class LangChainLoader(Protocol):
    """What LangChain calls a loader."""

    def lazy_load(self) -> Iterator[Any]:
        """Its documents, one after the other."""


LangChainSource = LangChainLoader | Iterable[LangChainDocument]
"""Where documents of LangChain come from."""


def stream(what: Iterable[Document | Unloaded] | LangChainSource) -> Iterator[Document | Unloaded]:
    """The items of a stream, with documents of LangChain turned into ours.

    :param what: a loader, or an iterable of documents of either kind.
    :raises InvalidInput: where it is one document, or nothing of the kind.
    """
    if isinstance(what, LangChainLoader) and not isinstance(what, type):
        return _adopted(what.lazy_load())
    if isinstance(what, str | Mapping | Document) or _is_langchain(what) or not isinstance(what, Iterable):
        raise InvalidInput(f"give a path, a loader or an iterable of documents, not one {type(what).__name__}")
    return _adopted(what)


def _adopted(items: Iterable[Any]) -> Iterator[Any]:
    """What is no document passes as it is: the run that reads the stream reports it."""
    met: Counter[str] = Counter()
    for item in items:
        yield _document(item, met) if _is_langchain(item) else item


def _is_langchain(item: object) -> TypeGuard[LangChainDocument]:
    return hasattr(item, "page_content") and hasattr(item, "metadata")


def _document(given: LangChainDocument, met: Counter[str]) -> Document:
    return Document(getattr(given, "id", None) or _name(given, met), given.page_content, given.metadata)


def _name(given: LangChainDocument, met: Counter[str]) -> str:
    """What is no text or no dictionary is refused by name later on."""
    source = given.metadata.get("source") if isinstance(given.metadata, Mapping) else None
    text = str(given.page_content).encode(errors="surrogatepass")
    name = str(source) if source else hashlib.blake2b(text, digest_size=16).hexdigest()
    met[name] += 1
    return name if met[name] == 1 else f"{name}#{met[name]}"
