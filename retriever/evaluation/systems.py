"""What is measured: this package or a peer, behind one small interface, so that one harness drives them all."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from retriever.errors import ConfigurationError
from retriever.evaluation.runs import Scored
from retriever.types import FloatMatrix, FloatVector, Metadata

if TYPE_CHECKING:
    from retriever.evaluation.load.stages import Stages

Where = Mapping[str, str | int | bool]
"""A filter that every system can express: each of these keys has this value."""

SystemLeg = Literal["semantic", "keyword"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Passage:
    """One record, as all systems get it.

    :param id: unique; what :meth:`System.search` returns.
    :param document_id: of the document that it was cut from.
    :param text: what keyword legs index.
    :param metadata: flat; what filters look at.
    """

    id: str
    document_id: str
    text: str
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """One query, as all systems get it.

    :param text: for keyword legs.
    :param vector: float32, shape ``(dimension,)``; None where only words are searched for.
    """

    text: str
    vector: FloatVector | None = None


class Unavailable(ConfigurationError):
    """A system cannot run here; reports list it with the reason.

    :param name: of the system.
    :param reason: what is missing, and how to get it.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name} cannot run here: {reason}")


class System(ABC):
    """A place that passages are written to and searched in.

    Vectors are made beforehand and given, so that all systems index the same ones. What a search uses follows from
    what it is given: an empty text leaves the keyword leg out, no vector the semantic one, and both together are
    whatever the system makes of both. Searches may come from several threads.

    :param folder: the system's own, empty or filled by the same system before. A system that :attr:`is_persistent`
        then finds what is there.
    :param address: ``HOST:PORT`` of a server, for those that need one.
    :param settings: of the system; unknown ones are an error.
    :raises Unavailable: where it cannot run here.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["ours", "peer"]] = "peer"
    legs: ClassVar[frozenset[SystemLeg]]
    """What it searches by."""
    filters: ClassVar[bool] = True
    """Whether it takes a filter."""
    is_persistent: ClassVar[bool] = True
    """Whether another process finds in the folder, or on the server, what this one wrote."""
    needs: ClassVar[Mapping[str, str]] = {}
    """Modules that have to be there, and what to install for them."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Names of its settings."""

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        check_needs(self.name, self.needs)
        self.folder = folder
        self.address = address
        self.settings = dict(settings or {})
        if unknown := self.settings.keys() - self.takes:
            known = ", ".join(sorted(self.takes)) or "none"
            raise ConfigurationError(f"{self.name} has no setting {', '.join(sorted(unknown))}; there are: {known}")

    @abstractmethod
    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Write; returns when the system has acknowledged everything.

        :param passages: any number.
        :param vectors: one row a passage; None for systems, or settings, that need none.
        """

    def settle(self) -> None:  # noqa: B027 - most have nothing to wait for
        """Return when everything written is searched as it will be from now on: indexes built, optimisers idle."""

    @abstractmethod
    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002
        """The best passages.

        :param text: of the query; empty: by its vector alone.
        :param vector: of the query; None: by its text alone.
        :param k: how many at most.
        :param filter: holds for all of them.
        :return: ids of passages with scores, best first; what the scores mean is the system's own matter.
        """

    def stages(self) -> Mapping[str, float]:
        """Where the last ingest spent its time: seconds by stage; empty where the system does not say."""
        return {}

    def query_stages(self, questions: Sequence[Question], k: int) -> Stages | None:
        """Where searches spend their time; None where the system does not say.

        :param questions: are asked.
        :param k: hits each.
        """
        del questions, k
        return None

    def size_on_disk(self) -> int | None:
        """Bytes that the folder takes, all flushed; None where the data is elsewhere."""
        return disk_usage(self.folder) if self.is_persistent and self.address is None else None

    def processes(self) -> list[int]:
        """Ids of the processes that hold the data: empty where that is a server which somebody else started."""
        import os

        return [os.getpid()] if self.address is None else []

    @abstractmethod
    def close(self) -> None:
        """Let go of files, servers and connections. May be called twice."""

    def __enter__(self) -> System:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Splitter(ABC):
    """A chunker of somebody else: a text to spans.

    :param size: tokens a chunk has at most.
    :param overlap: tokens that neighbours share; those that cannot overlap leave it out and say so in their docstring.
    :param tokenizer: a ``tokenizers.Tokenizer`` that counts, without truncation and padding.
    :raises Unavailable: where its packages are missing.
    """

    name: ClassVar[str]
    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, size: int, overlap: int, tokenizer: Any) -> None:  # noqa: ANN401 - of a package that is optional
        check_needs(self.name, self.needs)
        self.size = size
        self.overlap = overlap
        self.tokenizer = tokenizer

    @abstractmethod
    def split(self, text: str) -> list[tuple[int, int]]:
        """Where the chunks are.

        :param text: of a document.
        :return: offsets, in code points, of the first character of each chunk and of that after its last.
        """


_systems: dict[str, type[System]] = {}
_splitters: dict[str, type[Splitter]] = {}


def register_system(cls: type[System]) -> type[System]:
    """Make a system known by its name; for use as a decorator.

    :param cls: the class.
    """
    _systems[cls.name] = cls
    return cls


def register_splitter(cls: type[Splitter]) -> type[Splitter]:
    """Make a chunker known by its name; for use as a decorator.

    :param cls: the class.
    """
    _splitters[cls.name] = cls
    return cls


def system_names(kind: Literal["ours", "peer"] | None = None) -> list[str]:
    """Systems that are known, sorted; importing :mod:`benchmarks.peers` adds the peers.

    :param kind: only these.
    """
    from retriever.evaluation import ours  # noqa: F401 - it registers

    return sorted(name for name, cls in _systems.items() if kind in (None, cls.kind))


def splitter_names() -> list[str]:
    """Chunkers of others that are known, sorted."""
    return sorted(_splitters)


def find_system(name: str) -> type[System]:
    """A system by its name.

    :param name: one of :func:`system_names`.
    :raises ConfigurationError: where there is none of that name.
    """
    return _named(name, {known: _systems[known] for known in system_names()}, "system")


def find_splitter(name: str) -> type[Splitter]:
    """A chunker of somebody else by its name.

    :param name: one of :func:`splitter_names`.
    :raises ConfigurationError: where there is none of that name.
    """
    return _named(name, _splitters, "chunker")


def _named(name: str, known: Mapping[str, _T], what: str) -> _T:
    if name not in known:
        raise ConfigurationError(f"no {what} is called {name!r}; there are: {', '.join(sorted(known))}")
    return known[name]


def check_needs(name: str, needs: Mapping[str, str]) -> None:
    """Refuse where packages are missing.

    :param name: of what needs them.
    :param needs: modules, and what to install for them.
    :raises Unavailable: with the line that installs what is missing.
    """
    missing = [package for module, package in needs.items() if not _is_there(module)]
    if missing:
        raise Unavailable(name, f"pip install {' '.join(dict.fromkeys(missing))}")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def disk_usage(folder: Path) -> int:
    """Bytes that the files below a folder take on disk, as ``du`` counts them: holes and unwritten ends are free.

    :param folder: may not be there: 0.
    """
    blocks = 512  # the unit of st_blocks, whatever the file system's own is
    return sum(path.lstat().st_blocks * blocks for path in folder.rglob("*") if path.is_file())


def interleaved(systems: Sequence[_T], rounds: int, seed: int) -> Iterator[tuple[int, _T]]:
    """The order in which repetitions are measured: A B B A, the first of each pair of rounds shuffled.

    So a machine that becomes slower, or warmer, strikes all systems alike.

    :param systems: what is measured.
    :param rounds: repetitions of each.
    :param seed: the same seed gives the same order.
    :return: the round, from 0, and the system.
    """
    shuffled = random.Random(seed)  # noqa: S311 - no secret
    order = list(systems)
    for turn in range(rounds):
        if turn % 2 == 0:
            shuffled.shuffle(order)
        else:
            order.reverse()
        yield from ((turn, system) for system in order)
