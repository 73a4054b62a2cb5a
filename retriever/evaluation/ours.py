"""Our own package as a system that is measured: always through the public :class:`~retriever.Retriever`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np

from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.embedding.base import CANARIES, Role
from retriever.embedding.wrapped import CallableEmbedding
from retriever.errors import ConfigurationError, InvalidInput
from retriever.evaluation.load.stages import Stages, query_stages
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, Question, System, Unavailable, Where, register_system
from retriever.report import IndexReport
from retriever.retriever import Retriever
from retriever.search_options import SearchSettings
from retriever.types import Document, FloatMatrix, FloatVector

CALLED = "vectors given to a measurement"


class GivenVectors(CallableEmbedding):
    """Looks vectors up instead of making them, so that what is measured is the index and not a model.

    :param dimension: of the vectors.
    """

    is_concurrent = True

    def __init__(self, dimension: int) -> None:
        super().__init__(self._looked_up, CALLED)
        self._known: dict[str, FloatVector] = {}
        canaries = np.random.default_rng(dimension).standard_normal((len(CANARIES), dimension), dtype=np.float32)
        self._canaries = dict(zip(CANARIES, canaries, strict=True))
        self.__dict__["dimension"] = dimension

    def know(self, text: str, vector: FloatVector) -> None:
        """What the text's vector is from now on.

        :param text: of a passage or a query.
        :param vector: float32, shape ``(dimension,)``.
        """
        self._known[text] = vector

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:
        del role
        return self._looked_up(list(texts))

    def _looked_up(self, texts: list[str]) -> FloatMatrix:
        found = [self._known.get(text, self._canaries.get(text)) for text in texts]
        if any(vector is None for vector in found):
            missing = texts[found.index(None)]
            raise InvalidInput(f"no vector was given for the text {missing[:60]!r}")
        return np.stack(cast("list[FloatVector]", found))


class OurSystem(System):
    """An index of this package; subclasses say where.

    With vectors they are looked up; without, the setting ``embedding`` names what embeds for real. A passage is one
    record (:meth:`retriever.Retriever.upsert`). The other settings are the keyword arguments of
    :meth:`retriever.Retriever.search`, and ``filter_fields`` of :meth:`~retriever.Retriever.open`.
    """

    kind: ClassVar[Literal["ours", "peer"]] = "ours"
    legs = frozenset({"semantic", "keyword"})
    takes = frozenset({*SearchSettings.__annotations__, "filter_fields", "embedding", "language"})

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._given: GivenVectors | None = None
        self._retriever: Retriever | None = None
        self._opening = 0.0
        self.report: IndexReport | None = None
        self._search = cast(
            "SearchSettings", {k: v for k, v in self.settings.items() if k in SearchSettings.__annotations__}
        )

    def where(self) -> str:
        """The store's address."""
        return f"qdrant:{self.folder / 'index'}"

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Write; this package builds its graph before it returns, see :meth:`stages`.

        :param passages: any number.
        :param vectors: one row a passage; None where the setting ``embedding`` says what makes them.
        :raises ConfigurationError: without either, or where a passage cannot be written.
        """
        retriever = self._opened(None if vectors is None else int(vectors.shape[1]))
        if vectors is not None and self._given is not None:
            for passage, vector in zip(passages, vectors, strict=True):
                self._given.know(passage.text, vector)
        self.report = retriever.upsert(_documents(passages))
        if self.report.failed:
            problem = self.report.failed[0]
            raise ConfigurationError(f"{self.name}: {problem.item} was not written: {problem.reason}")

    def stages(self) -> Mapping[str, float]:
        """Of the last ingest, as its report has them, after opening the index."""
        return {} if self.report is None else {"open": self._opening, **self.report.seconds}

    def query_stages(self, questions: Sequence[Question], k: int) -> Stages | None:
        """See :func:`retriever.evaluation.load.stages.query_stages`.

        :param questions: all with a vector, unless an embedding function makes them.
        :param k: hits a query.
        """
        for question in questions:
            self._know(question.text, question.vector)
        return query_stages(self._opened(None), [question.text for question in questions], k, **self._search)

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002
        """The best passages, by the public search."""
        retriever = self._opened(None if vector is None else len(vector))
        if not text and vector is not None:
            hits = retriever.search_by_vector(vector, k, filter=filter)
        elif vector is None and "embedding" not in self.settings:
            settings: SearchSettings = {**self._search, "mode": "keyword", "filter": filter}
            hits = retriever.search(text, k, **settings)
        else:
            self._know(text, vector)
            settings = {**self._search, "filter": filter}
            hits = retriever.search(text, k, **settings)
        return [(hit.chunk.id, hit.score) for hit in hits]

    def close(self) -> None:
        """Let go of the index; the next call opens it again."""
        if self._retriever is not None:
            self._retriever.close()
            self._retriever = None

    def retriever(self) -> Retriever:
        """The index itself, which has to be there."""
        return self._opened(None)

    def _know(self, text: str, vector: FloatVector | None) -> None:
        if self._given is not None and vector is not None:
            self._given.know(text, vector)

    def _opened(self, dimension: int | None) -> Retriever:
        if self._retriever is None:
            began = time.perf_counter()
            self._retriever = Retriever.open(
                self.where(),
                embedding=self._function(dimension),
                language=self.settings.get("language"),
                filter_fields=self.settings.get("filter_fields"),
            )
            self._opening = time.perf_counter() - began
        return self._retriever

    def _function(self, dimension: int | None) -> EmbeddingFunction | None:
        if "embedding" in self.settings:
            return resolve_embedding(self.settings["embedding"])
        if self._given is None and dimension is not None:
            self._given = GivenVectors(dimension)
        return self._given


def _documents(passages: Sequence[Passage]) -> Iterator[Document]:
    return (Document(passage.id, passage.text, passage.metadata) for passage in passages)


@register_system
class Edge(OurSystem):
    """Ours on a folder, with Qdrant's engine in the process: the default store."""

    name = "edge"
    needs: ClassVar[Mapping[str, str]] = {"qdrant_edge": "'hybrid-retriever[qdrant]'"}


@register_system
class Memory(OurSystem):
    """Ours in memory: exact, by brute force."""

    name = "memory"
    is_persistent = False

    def where(self) -> str:
        """A memory store."""
        return "memory:"


@register_system
class Chroma(OurSystem):
    """Ours on a Chroma folder."""

    name = "chroma"
    needs: ClassVar[Mapping[str, str]] = {
        "chromadb": "'hybrid-retriever[chroma]'",
        "tantivy": "'hybrid-retriever[chroma]'",
    }

    def where(self) -> str:
        """A folder of Chroma."""
        return f"chroma:{self.folder / 'index'}"


@register_system
class ChromaServer(Chroma):
    """Ours on a Chroma server: the one at the address, else a ``chroma run`` that is started on the folder."""

    name = "chroma-server"

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._server = OwnServer(folder / "server") if address is None else None
        self._collection = "index" if address is None else f"measured-{uuid.uuid4().hex[:8]}"

    def where(self) -> str:
        """The collection on the server."""
        return f"chroma://{self._server.address if self._server else self.address}/{self._collection}"

    def processes(self) -> list[int]:
        """The server, where it is ours."""
        return [] if self._server is None else self._server.processes()

    def close(self) -> None:
        """Let go; a server of somebody else loses the collection, ours is stopped."""
        if self._server is None and self._retriever is not None:
            self._retriever.delete_all()
        super().close()
        if self._server is not None:
            self._server.stop()


@register_system
class QdrantServer(OurSystem):
    """Ours on the Qdrant server at the address. The collection is deleted when it is closed."""

    name = "qdrant-server"
    is_persistent = False
    needs: ClassVar[Mapping[str, str]] = {"qdrant_client": "'hybrid-retriever[qdrant]'"}

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        if address is None:
            raise Unavailable(self.name, "no Qdrant server was named; give its address as HOST:PORT")
        self._collection = f"measured-{uuid.uuid4().hex[:8]}"

    def where(self) -> str:
        """The collection on the server."""
        return f"qdrant://{self.address}/{self._collection}"

    def close(self) -> None:
        """Let go, and delete the collection."""
        if self._retriever is not None:
            self._retriever.delete_all()
        super().close()


class OwnServer:
    """A ``chroma run`` on a folder, started when its address is first asked for, until it is stopped.

    :param folder: where it keeps its data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context: AbstractContextManager[Any] | None = None
        self._server: Any = None

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        from retriever.testing.servers import chroma_server

        if self._context is None:
            self._context = chroma_server(self._folder)
            self._server = self._context.__enter__()
        return f"{self._server.host}:{self._server.port}"

    def processes(self) -> list[int]:
        """Its id; none while it does not run."""
        return [] if self._server is None else [self._server.process.pid]

    def stop(self) -> None:
        """End it; its data stays."""
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context, self._server = None, None
