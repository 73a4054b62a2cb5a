"""Our embedding functions for plain chromadb: a collection made with one opens anywhere by its name alone."""

from __future__ import annotations

from typing import Any, Self

from chromadb.api.types import Documents, Embeddings, Space
from chromadb.api.types import EmbeddingFunction as ChromaEmbeddingFunction
from chromadb.utils.embedding_functions import register_embedding_function

from retriever.embedding import EmbeddingFunction, EmbeddingInput, resolve_embedding
from retriever.errors import ConfigurationError, IndexMismatch
from retriever.identity import describe_embedding, difference, embedding_manifest
from retriever.manifest import EmbeddingManifest
from retriever_chroma.configuration import CLASSES, NAME, build, parse, same_vectors, to_config


@register_embedding_function
class RetrieverEmbeddingFunction(ChromaEmbeddingFunction[Documents]):
    """What chromadb takes as ``embedding_function=``. Its settings go into the collection, and hold no secret.

    Another program that has imported ``retriever_chroma`` opens the collection by its name. What it builds then is
    verified: the weights' hash before they are loaded, fingerprint and test vectors afterwards.

    The model is loaded at once: where that failed later, chromadb would make a collection that names no function.

    :param embedding: an embedding function; ``hashed``; or a sentence-transformers model by hub name or folder.
    :raises ConfigurationError: where it leads nowhere, or to a function that no other program could build.
    """

    def __init__(self, embedding: EmbeddingInput) -> None:
        function = resolve_embedding(embedding)
        if type(function) is not CLASSES.get(function.kind):
            raise ConfigurationError(
                f"{NAME!r} carries the embedding functions {' and '.join(CLASSES)}, so that any program can open the "
                f"collection; with {function.name!r} open it through retriever.Retriever, or give chromadb the vectors"
            )
        self._function: EmbeddingFunction | None = function
        self._recorded = parse(to_config(embedding_manifest(function)), "the embedding function")

    @classmethod
    def described(cls, recorded: EmbeddingManifest) -> Self:
        """One that is built, and verified, when it is first used.

        :param recorded: of an embedding function.
        :raises ConfigurationError: where it could not be built from a collection.
        """
        return cls._of(None, parse(to_config(recorded)))

    @classmethod
    def _of(cls, function: EmbeddingFunction | None, recorded: EmbeddingManifest) -> Self:
        made = cls.__new__(cls)
        made._function, made._recorded = function, recorded
        return made

    @staticmethod
    def name() -> str:
        """``hybrid-retriever``."""
        return NAME

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002 - chromadb's word
        """Vectors of documents.

        :param input: their texts.
        """
        return list(self._built().embed_documents(list(input)))

    def embed_query(self, input: Documents) -> Embeddings:  # noqa: A002
        """Vectors of queries, which many models embed differently.

        :param input: their texts.
        """
        return list(self._built().embed_queries(list(input)))

    def default_space(self) -> Space:
        """Cosine."""
        return "cosine"

    def supported_spaces(self) -> list[Space]:
        """All; only cosine makes scores that compare between models."""
        return ["cosine", "l2", "ip"]

    def is_legacy(self) -> bool:
        """No. Without this, chromadb would build a second one to find out."""
        return False

    def get_config(self) -> dict[str, Any]:
        """Kind, settings, fingerprint, dimension and test vectors."""
        return to_config(self._recorded)

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> RetrieverEmbeddingFunction:
        """Build the function that a collection describes, after every check of :mod:`retriever_chroma.configuration`.

        :param config: from the collection.
        :raises ConfigurationError: where nothing is to be built from it.
        :raises IndexMismatch: where the model that is here gives other vectors.
        """
        return RetrieverEmbeddingFunction._of(build(config), parse(config))

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Look at every value; nothing is built.

        :param config: from a collection, or about to be stored.
        :raises ConfigurationError: for anything that this package does not write.
        """
        parse(config)

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Refuse what would change vectors; a model may move to another folder.

        chromadb asks after it has stored the new configuration.

        :param old_config: of the collection.
        :param new_config: about to take its place.
        :raises IndexMismatch: naming both sides.
        """
        old, new = parse(old_config), parse(new_config)
        if not same_vectors(old, new):
            raise IndexMismatch(
                f"the collection holds vectors of {describe_embedding(old)}, not of {describe_embedding(new)}: "
                f"{difference(old.fingerprint, new.fingerprint)}; store the former configuration again"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe_embedding(self._recorded)!r})"

    def _built(self) -> EmbeddingFunction:
        if self._function is None:
            self._function = build(self.get_config())
        return self._function
