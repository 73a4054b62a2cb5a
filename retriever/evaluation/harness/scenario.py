"""Scenarios: what is compared, on what, how; TOML files, checked before anything runs."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from retriever.chunking import ChunkerConfig
from retriever.errors import ConfigurationError, InvalidInput
from retriever.evaluation.load.speed import LoadSettings
from retriever.evaluation.measures import MEASURES
from retriever.fusion import Method
from retriever.search_options import DEPTH, MOST_DEPTH, RERANK_DEPTH
from retriever.types import Mode


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _known_measure(name: str) -> str:
    if name not in MEASURES:
        raise ValueError(f"{name!r} is no measure here: write one of {', '.join(MEASURES)}")
    return name


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise ValueError(f"{name!r} names files: use letters, digits, - and _")
    return name


Measure = Annotated[str, AfterValidator(_known_measure)]
Name = Annotated[str, AfterValidator(_file_name)]


class Published(_Model):
    """A figure of others, printed beside ours."""

    name: str
    """Of the system, for example ``BM25``."""
    measure: Measure
    value: float
    source: str
    """Who published it."""
    configuration: str = ""
    """Pattern of the labels that it is printed beside; empty for none."""


class DatasetSpec(_Model):
    """Documents, queries and judgements. Which keys are given says where they come from.

    * ``path``: a folder in BEIR layout;
    * ``url`` and ``sha256``: a zip file of one, fetched where there is no ``path`` or nothing lies there;
    * ``ir_datasets``: an id of that library;
    * ``folder``, ``queries`` and ``qrels``: a user's own files, read as ``retriever index`` reads them.

    ``${NAME}`` in them stands for a variable of the environment; paths are relative to the scenario's file.
    """

    name: Name
    path: str | None = None
    url: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    ir_datasets: str | None = None
    folder: str | None = None
    queries: str | None = None
    qrels: str | None = None
    split: str = "test"
    """Which judgements of a folder in BEIR layout: ``qrels/SPLIT.tsv``."""
    limit: int | None = Field(default=None, ge=1)
    """How many judged queries, from the first on; by default all."""
    language: str = "english"
    """Of stemming and stop words."""
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        beir = self.path is not None or self.url is not None
        origins = [beir, self.ir_datasets is not None, self.folder is not None]
        if sum(origins) != 1:
            raise ValueError("say where it is: path and/or url, or ir_datasets, or folder with queries and qrels")
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 belong together: what is fetched is checked")
        if (self.folder is not None) and (self.queries is None or self.qrels is None):
            raise ValueError("a folder needs queries and qrels beside it")
        if self.folder is None and (self.queries is not None or self.qrels is not None):
            raise ValueError("queries and qrels belong to a folder; a path in BEIR layout holds its own")
        return self


class ChunkerSpec(_Model):
    """How documents are cut: by our chunker, or by a peer's."""

    kind: Literal["tokens", "whole"] = "tokens"
    size: int | None = None
    """Tokens of the embedding model, by default 256."""
    overlap: int | None = None
    """By default an eighth of it."""
    peer: str | None = None
    """Name of a peer's chunker in place of ours."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.kind == "whole" and (self.peer or self.size is not None or self.overlap is not None):
            raise ValueError("kind = 'whole' cuts nothing: it takes no size, overlap or peer")
        self.config  # noqa: B018 - raises where size and overlap do not fit
        return self

    @property
    def config(self) -> ChunkerConfig:
        """For our own chunker."""
        given = {"size": self.size, "overlap": self.overlap}
        return ChunkerConfig(kind=self.kind, **{key: value for key, value in given.items() if value is not None})

    @property
    def label(self) -> str:
        """``whole``, ``256/32`` or ``NAME 256/32``."""
        if self.kind == "whole":
            return "whole"
        sizes = f"{self.config.size}/{self.config.overlap}"
        return f"{self.peer} {sizes}" if self.peer else sizes


class SearchSpec(_Model):
    """The keyword arguments of :meth:`retriever.Retriever.search`."""

    mode: Mode = "hybrid"
    fusion: Method = "relative"
    keyword_weight: float | None = Field(default=None, ge=0, le=1)
    sparse_weight: float | None = Field(default=None, ge=0, le=1)
    """Of the grid's learned sparse models; 1 puts them in the place of BM25."""
    depth: int = Field(default=DEPTH, ge=1, le=MOST_DEPTH)
    rerank: str | None = None
    rerank_depth: int = Field(default=RERANK_DEPTH, ge=1)
    mmr: float | None = Field(default=None, ge=0, le=1)
    min_cosine: float | None = Field(default=None, ge=-1, le=1)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What matters of it: a leg alone is not fused, and without a reranker there is no depth of it."""
        given = self.model_dump(exclude_none=True)
        if self.mode != "hybrid":
            del given["fusion"]
            given.pop("keyword_weight", None)
            given.pop("sparse_weight", None)
        if self.rerank is None:
            del given["rerank_depth"]
        return given

    @property
    def needs_sparse(self) -> bool:
        """Whether it makes no sense without a learned sparse model."""
        return self.mode == "sparse" or (self.mode == "hybrid" and self.sparse_weight is not None)

    @property
    def needs_vectors(self) -> bool:
        """Whether anything is compared by its vector."""
        return self.mode in ("hybrid", "semantic") or self.min_cosine is not None or self.mmr is not None

    @property
    def needs_models(self) -> bool:
        """Whether another leg than that of the keywords is asked."""
        return self.needs_vectors or self.mode == "sparse"

    @property
    def label(self) -> str:
        """For example ``hybrid relative 0.5 depth 400``; what is as by default is left out."""
        words: list[str] = [self.mode]
        if self.mode == "hybrid":
            words.append(self.fusion)
            words += [] if self.keyword_weight is None else [f"{self.keyword_weight:g}"]
            words += [] if self.sparse_weight is None else [f"sparse {self.sparse_weight:g}"]
        words += [f"depth {self.depth}"] if self.depth != DEPTH else []
        if self.rerank is not None:
            words += ["rerank", self.rerank] + ([f"{self.rerank_depth}"] if self.rerank_depth != RERANK_DEPTH else [])
        words += [f"mmr {self.mmr:g}"] if self.mmr is not None else []
        words += [f"min_cosine {self.min_cosine:g}"] if self.min_cosine is not None else []
        return " ".join(words)


class Grid(_Model):
    """Every combination is measured, once."""

    embeddings: tuple[str, ...] = Field(default=("hashed",), min_length=1)
    """As ``--embedding`` takes them."""
    sparse: tuple[str, ...] = Field(default=("",), min_length=1)
    """Learned sparse models, as ``--sparse`` takes them; ``""`` for none."""
    chunkers: tuple[ChunkerSpec, ...] = Field(default=(ChunkerSpec(),), min_length=1)
    stores: tuple[str, ...] = Field(default=("edge",), min_length=1)
    """Names of :data:`retriever.evaluation.harness.places.PLACES`, or addresses of servers."""
    searches: tuple[SearchSpec, ...] = Field(default=(SearchSpec(),), min_length=1)

    @model_validator(mode="after")
    def _sparse_is_asked(self) -> Self:
        if not any(self.sparse) and any(search.needs_sparse for search in self.searches):
            raise ValueError("mode = 'sparse' and sparse_weight ask a learned sparse model: name one in sparse")
        return self


class BarSpec(_Model):
    """What a figure must be: where it is missed, the run's exit code is 1."""

    dataset: str
    configuration: str
    """Pattern of labels, as file names have them: ``*keyword*``."""
    measure: Measure
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a bar needs at_least or at_most")
        return self


class Scenario(_Model):
    """All that a run follows from."""

    name: Name
    description: str = ""
    seed: int = 0
    measure: Measure = "nDCG@10"
    """The primary one, fixed before the run: tables are ordered and grouped by it. The others are exploratory."""
    datasets: tuple[DatasetSpec, ...] = Field(min_length=1)
    grid: Grid = Grid()
    peers: tuple[str, ...] = ()
    """Names of systems of others; ``NAME@HOST:PORT`` for one that is on a server."""
    bars: tuple[BarSpec, ...] = ()
    load: LoadSettings | None = None
    """Of the speed part; without it nothing is timed."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = [dataset.name for dataset in self.datasets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two datasets are called {', '.join(twice)}: name them apart")
        if strange := sorted({bar.dataset for bar in self.bars} - set(names)):
            raise ValueError(
                f"bars name datasets that there are not: {', '.join(strange)}; there are {', '.join(names)}"
            )
        return self


def read_scenario(path: Path) -> tuple[Scenario, str]:
    """Read and check a scenario.

    :param path: of a TOML file.
    :return: the scenario, and the file's text as it stands.
    :raises InvalidInput: where there is none, or it is no TOML.
    :raises ConfigurationError: naming each key that is wrong and how to mend it.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the scenario {path} cannot be read: {error}") from error
    return parse_scenario(text, str(path)), text


def parse_scenario(text: str, where: str) -> Scenario:
    """Check a scenario's text.

    :param text: TOML.
    :param where: for messages.
    :raises ConfigurationError: naming each key that is wrong and how to mend it.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is no TOML: {error}") from error
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_problem(detail)}" for detail in error.errors())
        raise ConfigurationError(f"{where} is no scenario:\n{problems}") from None


def expand(text: str, folder: Path) -> Path:
    """A path as a scenario writes it.

    :param text: may name variables of the environment, ``${NAME}``.
    :param folder: of the scenario's file: relative paths start there.
    :raises ConfigurationError: where a variable is not set.
    """
    try:
        filled = Template(text).substitute({key: value for key, value in os.environ.items() if value})
    except KeyError as error:
        raise ConfigurationError(f"{text}: the variable {error.args[0]} is not set") from None
    except ValueError:
        raise ConfigurationError(f"{text}: variables are written ${{NAME}}, a dollar sign $$") from None
    try:
        return folder / Path(filled).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"{text}: {error}") from error


def _problem(detail: Mapping[str, Any]) -> str:
    place = [part for part in detail["loc"] if not str(part).startswith("function-")]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = get_close_matches(str(place[-1]), known, 1)
        message = f"there is no such key; did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    elif detail["type"] == "missing":
        message = "is missing"
    elif detail["type"] != "value_error":
        message += f", not {detail['input']!r}"
    return f"{key or 'as a whole'}: {message}"


def _keys_at(place: list[Any]) -> list[str]:
    """The keys of the model at a place in a scenario."""
    model: type[BaseModel] = Scenario
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = next((m for m in _models(model.model_fields[part].annotation)), model)
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - whatever a field is annotated with
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
