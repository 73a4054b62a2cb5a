"""The commands. Exit codes: 0 done, 1 error or damage found, 2 wrong usage, 3 done but for some documents or chunks.

Of ``compare --gate``: 0 passed, 1 failed, wrong usage or an error, 2 cannot tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from pydantic import ValidationError

from retriever.chunking import ChunkerConfig
from retriever.cli.comparing import GateCommand, compare
from retriever.cli.evaluation import evaluate, tune
from retriever.cli.progress import chunk_progress, epoch_progress, index_progress
from retriever.cli.show import Output
from retriever.copying import copy_index
from retriever.doctor import examine
from retriever.embedding.words.training import Algorithm, train_word_vectors
from retriever.errors import InvalidInput, StoreNotFound
from retriever.manifest import FieldType
from retriever.opening import destroy_index, source_of
from retriever.repairing import repair_index
from retriever.report import IndexReport
from retriever.retriever import Retriever
from retriever.types import Mode

DEFAULT_EMBEDDING = "sentence-transformers/all-MiniLM-L6-v2"
"""Of a new index, where none is named."""

app = typer.Typer(
    help="Index folders and search them, by keyword and by meaning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(evaluate)
app.command()(tune)
app.command(cls=GateCommand)(compare)

StoreOption = Annotated[str, typer.Option("--store", "-s", help="Where the index is: a folder or an address.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FilterOption = Annotated[
    str | None, typer.Option("--filter", "-f", help='A filter as JSON, for example \'{"format": "markdown"}\'.')
]


@app.command()
def index(
    paths: Annotated[list[Path], typer.Argument(help="Folders and files.")],
    store: StoreOption,
    embedding: Annotated[
        str | None,
        typer.Option("--embedding", "-e", help=f"Of a new index: hashed, or a model. Default: {DEFAULT_EMBEDDING}"),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source. Default: the folder's full path.")] = None,
    prune: Annotated[
        bool | None, typer.Option("--prune/--no-prune", help="Delete what is gone from a folder. Default: yes.")
    ] = None,
    chunk_size: Annotated[int | None, typer.Option(help="Of a new index: tokens a chunk, 256 by default.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Of a new index: tokens shared, 32 by default.")] = None,
    language: Annotated[str | None, typer.Option(help="Of a new index: for stemming, english by default.")] = None,
    filter_field: Annotated[
        list[str] | None,
        typer.Option(help="KEY:TYPE to make filters on KEY quick; TYPE is keyword, number or bool. Repeatable."),
    ] = None,
    sparse: Annotated[
        str | None, typer.Option(help="Of a new index: a learned sparse model beside BM25, splade:NAME.")
    ] = None,
    keyword: Annotated[
        bool | None, typer.Option("--keyword/--no-keyword", help="Of a new index: no BM25, only the learned one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the index in step with folders and files. Only what is new is embedded; run it as often as you like."""
    if source is not None and len(paths) > 1:
        raise InvalidInput("--source names one origin: index several paths one after the other")
    for path in paths:
        source_of(path, source)  # refuses a path that is not there before anything is made or indexed
    out = Output(as_json)
    settings = {
        "chunker": _chunker(chunk_size, overlap),
        "language": language,
        "filter_fields": _filter_fields(filter_field or []),
        "sparse": sparse,
        "keyword": keyword,
    }
    with _opened(store, embedding, settings) as retriever:
        reports = [_index_one(retriever, path, source, prune, as_json) for path in paths]
        out.index_reports(reports, retriever)
    if any(report.failed for report in reports):
        raise typer.Exit(3)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A question, words, an identifier.")],
    store: StoreOption,
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 5,
    offset: Annotated[int, typer.Option(help="How many hits to pass over.")] = 0,
    mode: Annotated[Mode, typer.Option("--mode", "-m")] = "hybrid",
    filter_json: FilterOption = None,
    depth: Annotated[int | None, typer.Option(help="Candidates of each leg. Default: 200, or as tuned.")] = None,
    fusion: Annotated[
        Literal["relative", "rrf"] | None, typer.Option(help="How the legs are fused. Default: relative, or as tuned.")
    ] = None,
    keyword_weight: Annotated[float | None, typer.Option(help="Share of the keyword leg, 0 to 1.")] = None,
    sparse_weight: Annotated[
        float | None, typer.Option(help="A learned sparse model's part of that share, 0 to 1.")
    ] = None,
    min_cosine: Annotated[float | None, typer.Option(help="Leave out what is less similar than this cosine.")] = None,
    rerank: Annotated[str | None, typer.Option(help="A cross-encoder or KIND:NAME that orders the best anew.")] = None,
    mmr: Annotated[float | None, typer.Option(help="Reorder for variety: 1 relevance alone, 0 variety alone.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find chunks, and say why each was found."""
    with Retriever.open(store) as retriever:
        hits = retriever.search(
            query,
            k,
            offset=offset,
            mode=mode,
            filter=parse_filter_option(filter_json),
            depth=depth,
            fusion=fusion,
            keyword_weight=keyword_weight,
            sparse_weight=sparse_weight,
            min_cosine=min_cosine,
            rerank=rerank,
            mmr=mmr,
        )
        Output(as_json).hits(hits, offset, retriever.manifest.analyser)


@app.command()
def doctor(
    corpus: Annotated[Path, typer.Argument(help="A folder or a file.")],
    embedding: Annotated[
        str, typer.Option("--embedding", "-e", help="hashed, or a model, as for index.")
    ] = DEFAULT_EMBEDDING,
    as_json: JsonOption = False,
) -> None:
    """Say whether a model can read a corpus, before anything is indexed. Exit code 1 where it cannot."""
    report = examine(corpus, embedding)
    Output(as_json).doctor(report)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def info(store: StoreOption, as_json: JsonOption = False) -> None:
    """What the index holds, and what built it."""
    with Retriever.open(store) as retriever:
        Output(as_json).info(retriever.info())


@app.command()
def verify(store: StoreOption, as_json: JsonOption = False) -> None:
    """Read every record and embed a sample again, to find damage. Exit code 1 where there is any."""
    with Retriever.open(store) as retriever:
        report = retriever.verify()
        Output(as_json).verification(report)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def delete(
    store: StoreOption,
    document: Annotated[list[str] | None, typer.Option("--document", "-d", help="Id, as hits show it.")] = None,
    source: Annotated[str | None, typer.Option(help="Everything of this source.")] = None,
    filter_json: FilterOption = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole index.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete chunks that satisfy all that is given, or the whole index."""
    chosen = document or source is not None or filter_json is not None
    if bool(chosen) == everything:
        raise typer.BadParameter("give --document, --source or --filter; or --all alone for the whole index")
    out = Output(as_json)
    if everything and not yes:
        typer.confirm(f"Delete the whole index at {store}?", abort=True, err=True)
    if everything:
        out.destroyed(destroy_index(store))  # not opened for that: it may be damaged
        return
    with Retriever.open(store) as retriever:
        out.deleted(
            retriever.delete(documents=document or None, source=source, filter=parse_filter_option(filter_json))
        )


@app.command()
def recalibrate(store: StoreOption, as_json: JsonOption = False) -> None:
    """Rewrite the keyword weights for the corpus as it is now. Nothing is embedded."""
    with Retriever.open(store) as retriever:
        Output(as_json).calibration(retriever.recalibrate())


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Where the index is: a folder or an address.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="An empty place, or what an earlier copy began.")],
    embedding: Annotated[
        str | None, typer.Option("--embedding", "-e", help="Embed every chunk again: hashed, or a model.")
    ] = None,
    sparse: Annotated[
        str | None, typer.Option(help="Encode every chunk with this learned sparse model: splade:NAME.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Move an index to another store, or to another model. Interrupted? Run it again: it goes on where it stopped."""
    with chunk_progress("copying", hidden=as_json) as progress:
        report = copy_index(
            source, target, embedding=embedding, sparse=sparse, progress=lambda done: progress(done.chunks)
        )
    Output(as_json).copied(report, target)
    if report.lost or report.refused:
        raise typer.Exit(3)


@app.command()
def repair(store: StoreOption, as_json: JsonOption = False) -> None:
    """Rebuild a damaged Chroma collection from what its files still hold. Nothing else may have it open."""
    with chunk_progress("repairing", hidden=as_json) as progress:
        report = repair_index(store, progress=lambda done: progress(done.chunks))
    Output(as_json).repaired(report, store)
    if report.lost:
        raise typer.Exit(3)


@app.command("train-words")
def train_words(
    corpus: Annotated[Path, typer.Argument(help="A folder or a file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; .txt or .vec for text.")],
    algorithm: Annotated[Algorithm, typer.Option(help="How they are learnt.")] = "skip-gram",
    subwords: Annotated[bool, typer.Option(help="fastText: give a vector to unknown words too.")] = False,
    dimension: Annotated[int, typer.Option(help="Of the vectors.")] = 100,
    window: Annotated[int, typer.Option(help="Words on either side that are looked at.")] = 5,
    min_count: Annotated[int, typer.Option(help="Words that occur less often get no vector.")] = 5,
    epochs: Annotated[int, typer.Option(help="How often the texts are gone through.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the random beginning.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Learn word vectors from your own texts; word-vectors:FILE is then an embedding function."""
    with epoch_progress(epochs, hidden=as_json) as progress:
        report = train_word_vectors(
            corpus,
            output,
            algorithm=algorithm,
            subwords=subwords,
            dimension=dimension,
            window=window,
            min_count=min_count,
            epochs=epochs,
            seed=seed,
            progress=progress,
        )
    Output(as_json).trained(report)


def _index_one(retriever: Retriever, path: Path, source: str | None, prune: bool | None, as_json: bool) -> IndexReport:
    with index_progress(str(path), hidden=as_json) as progress:
        return retriever.index(path, source=source, prune=prune, progress=progress)


@contextmanager
def _opened(store: str, embedding: str | None, settings: dict[str, Any]) -> Iterator[Retriever]:
    try:
        retriever = Retriever.open(store, embedding=embedding, **settings)
    except StoreNotFound:
        if embedding is not None:
            raise
        retriever = Retriever.open(store, embedding=DEFAULT_EMBEDDING, **settings)
    with retriever:
        yield retriever


def _chunker(size: int | None, overlap: int | None) -> ChunkerConfig | None:
    given = {key: value for key, value in (("size", size), ("overlap", overlap)) if value is not None}
    try:
        return ChunkerConfig.model_validate(given) if given else None
    except ValidationError as error:
        raise InvalidInput(f"--chunk-size and --overlap: {error.errors()[0]['msg']}") from None


def parse_filter_option(text: str | None) -> dict[str, object] | None:
    """What ``--filter`` says.

    :param text: JSON.
    :raises InvalidInput: where it is no JSON object.
    """
    if text is None:
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"--filter is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidInput('--filter is a JSON object, for example \'{"format": "markdown"}\'')
    return parsed


def _filter_fields(given: list[str]) -> dict[str, FieldType]:
    fields: dict[str, FieldType] = {}
    for item in given:
        key, separator, kind = item.rpartition(":")
        if not separator or not key or kind not in ("keyword", "number", "bool"):
            raise InvalidInput(f"--filter-field {item!r}: write KEY:keyword, KEY:number or KEY:bool")
        fields[key] = cast("FieldType", kind)
    return fields
