"""Plug-ins: entry points to classes, with a plain word where an extra is missing.

Stores are found in the group ``retriever.stores``, embedding functions in ``retriever.embeddings``, rerankers in
``retriever.rerankers``, learned sparse models in ``retriever.sparse``; those of this package come the same way as
anybody's. A program may also register its own class at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, Literal, NoReturn, Self, TypeVar

from retriever.errors import ConfigurationError, MissingExtra

Group = Literal["retriever.stores", "retriever.embeddings", "retriever.rerankers", "retriever.sparse"]

Kind = TypeVar("Kind")

_WHAT: dict[Group, str] = {
    "retriever.stores": "store",
    "retriever.embeddings": "embedding",
    "retriever.rerankers": "reranker",
    "retriever.sparse": "learned sparse model",
}

_EXTRA_OF_MODULE = {
    "qdrant_edge": "qdrant",
    "qdrant_client": "qdrant",
    "chromadb": "chroma",
    "tantivy": "chroma",
    "langchain_core": "langchain",
    "langchain_text_splitters": "langchain",
    "sentence_transformers": "sentence-transformers",
    "gensim": "words",
    "model2vec": "static",
    "tokenizers": "sentence-transformers",
    "torch": "sentence-transformers",
    "transformers": "sentence-transformers",
    "huggingface_hub": "sentence-transformers",
    "PIL": "images",
    "openvino": "openvino",
    "nncf": "openvino",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openai": "openai",
    "tiktoken": "openai",
    "ir_measures": "evaluation",
    "jinja2": "evaluation",
    "pytrec_eval": "evaluation",
    "scipy": "evaluation",
}
"""Which extra brings a module that was not found."""

_registered: dict[tuple[Group, str], type] = {}


class Plugin:
    """Base of what is found by ``KIND`` or ``KIND:NAME``."""

    kind: ClassVar[str]
    """Name in the registry."""

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Build one from the part of ``kind:name`` after the colon.

        :param name: empty where only the kind was given.
        :raises ConfigurationError: where this kind takes no name.
        """
        if name:
            raise ConfigurationError(f"{cls.kind!r} takes no name, but {name!r} was given")
        return cls()

    @property
    def name(self) -> str:
        """How people call it: what leads to it."""
        return self.kind


def register(group: Group, name: str, cls: type) -> Callable[[], None]:
    """Add a class for this process; it goes before an entry point of the same name.

    :param group: what kind of plug-in it is.
    :param name: under which it is asked for.
    :param cls: the class.
    :return: a function that takes it away again.
    """
    _registered[group, name] = cls

    def unregister() -> None:
        _registered.pop((group, name), None)

    return unregister


def names(group: Group) -> list[str]:
    """Names of the plug-ins there are, sorted, also of those whose extra is missing.

    :param group: what kind of plug-in.
    """
    found = {point.name for point in entry_points(group=group)}
    return sorted(found | {name for kind, name in _registered if kind == group})


def find(group: Group, name: str) -> type:
    """The class registered under a name.

    :param group: what kind of plug-in.
    :param name: its name.
    :raises ConfigurationError: where there is none; the message lists the names.
    :raises MissingExtra: where its packages are not installed.
    """
    if (group, name) in _registered:
        return _registered[group, name]
    for point in entry_points(group=group, name=name):
        return _load(point)
    what = _WHAT[group]
    raise ConfigurationError(f"no {what} is called {name!r}; there are: {', '.join(names(group))}")


def find_kind(group: Group, kind: str, base: type[Kind]) -> type[Kind]:
    """As :func:`find`, of what must have a certain base.

    :param group: what kind of plug-in.
    :param kind: its name.
    :param base: of its class.
    :raises ConfigurationError: where there is none, or it is something else.
    :raises MissingExtra: where its packages are not installed.
    """
    cls = find(group, kind)
    if not issubclass(cls, base):
        raise ConfigurationError(f"the plug-in {kind!r} is a {cls.__name__}, which is no {base.__name__}")
    return cls


def _load(point: EntryPoint) -> type:
    try:
        cls: type = point.load()
    except ModuleNotFoundError as error:
        raise_missing(f"{point.name!r}", error)
    return cls


def raise_missing(feature: str, error: ModuleNotFoundError) -> NoReturn:
    """Say which extra brings a missing module.

    :param feature: what the user asked for.
    :param error: what importing raised.
    :raises MissingExtra: always, unless no extra is known to bring the module: then the error itself.
    """
    module = (error.name or "").partition(".")[0]
    if module not in _EXTRA_OF_MODULE:
        raise error
    raise MissingExtra(feature, _EXTRA_OF_MODULE[module]) from error
