"""The command line: ``python -m benchmarks NAME``; ``--help`` lists the names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from benchmarks import harness, kept, kill, reporting, speed
from benchmarks.data import VARIABLE, DataMissing, data_folder
from benchmarks.report import Result, publish, say
from retriever.errors import RetrieverError
from retriever.evaluation.harness.manifest import checkout

_HARNESS = {
    "run": harness.run,
    "verify": harness.verify,
    "compare": reporting.compare,
    "report": reporting.report,
    "keep": kept.keep,
    "tables": kept.tables,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a scenario, or one benchmark, and print what it found.

    :param arguments: of the command line; None takes those of the process.
    :return: exit code: 0 where every bar holds, or there is no folder of data; 1 where a bar is missed or the folder
        lacks what was asked for.
    """
    options = _parser().parse_args(arguments)
    if options.benchmark in _HARNESS:
        try:
            return _HARNESS[options.benchmark](options)
        except RetrieverError as error:
            say(f"{options.benchmark}: {error}")
            return 1
    data = data_folder(getattr(options, "data", None))
    if _needs_data(options) and (data is None or not data.is_dir()):
        where = f"--data is not given and {VARIABLE} is not set" if data is None else f"{data} is no folder"
        print(f"{options.benchmark}: nothing was measured, because {where}")
        return 0
    began = checkout()
    try:
        with _cache_of_its_own():
            result = _run(options, data or Path())
    except DataMissing as error:
        say(f"{options.benchmark}: {error}")
        return 1
    return publish(result, options.json, began)


@contextmanager
def _cache_of_its_own() -> Iterator[None]:
    """Keyword indexes of servers' collections go where nothing stays, and no vector comes from an earlier run.

    So it is in child processes, too.
    """
    with TemporaryDirectory(prefix="retriever-cache-") as folder:
        own = {"RETRIEVER_CACHE": folder, "RETRIEVER_EMBEDDING_CACHE": "0"}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def _needs_data(options: argparse.Namespace) -> bool:
    if options.benchmark == "speed":
        return options.only is None or bool({"chunking", "indexing"} & set(options.only))
    return options.benchmark in ("embedding", "kill")


def _run(options: argparse.Namespace, data: Path) -> Result:
    """Each is imported when it is asked for: they need packages that the others do without."""
    if options.benchmark == "memory":
        from benchmarks import memory

        return memory.run(options.documents)
    if options.benchmark == "attach":
        from benchmarks import attach

        return attach.run(options.records)
    if options.benchmark == "readers":
        from benchmarks import readers

        return readers.run(options.readers, options.seconds)
    if options.benchmark == "langchain":
        from benchmarks import langchain

        return langchain.run(options.documents, options.queries, options.rounds, options.model)
    if options.benchmark == "embedding":
        from benchmarks import embedding_speed

        return embedding_speed.run(data, options.passages, options.queries, options.rounds, not options.speed_only)
    if options.benchmark == "kill":
        return kill.run(data, kill.Settings(options.kills, options.seed, options.files, options.edit, options.store))
    sizes = speed.Sizes(options.rounds, options.files, options.chunks, options.queries)
    return speed.run(data, options.only or speed.PARTS, sizes)


class _Parser(argparse.ArgumentParser):
    """Ends with 1 where the arguments make no sense: 2 is what the gate says when it cannot tell."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser("python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    harness.add_run(
        commands.add_parser("run", help="compare what a scenario's file says, and write a folder of records")
    )
    verifying = commands.add_parser("verify", help="compute every number of a run again")
    verifying.add_argument("run", type=Path, help="folder that run has written")
    reporting.add_compare(commands.add_parser("compare", help="two runs, before and after a change; a gate for CI"))
    reporting.add_report(commands.add_parser("report", help="a run as HTML, Markdown and JSON"))
    keeping = commands.add_parser("keep", help="keep the results of a run in benchmarks/results")
    keeping.add_argument("run", type=Path, help="folder that run has written, or file that --json named")
    making = commands.add_parser("tables", help="write the tables of the pages from benchmarks/results")
    making.add_argument("--check", action="store_true", help="only say which are not what the results give")
    _speed_options(_command(commands, "speed", "chunking, indexing and querying, each next to what it is made of"))
    remembering = _command(commands, "memory", "peak memory on a long stream, next to the engine alone", data=False)
    remembering.add_argument("--documents", type=_count, default=200_000, help="how many, by default 200,000")
    attaching = _command(commands, "attach", "hybrid search on a collection that chromadb filled", data=False)
    attaching.add_argument("--records", type=_count, default=50_000, help="how many, by default 50,000")
    reading = _command(commands, "readers", "processes that read a Chroma server while one writes", data=False)
    reading.add_argument("--readers", type=_count, default=4, help="how many, by default 4")
    reading.add_argument("--seconds", type=_count, default=120, help="for how long, by default 120")
    _langchain_options(_command(commands, "langchain", "what plugging into LangChain costs", data=False))
    _embedding_options(_command(commands, "embedding", "transformers on torch, OpenVINO and ONNX Runtime"))
    _kill_options(_command(commands, "kill", "kill -9 while indexing, again and again, then compare"))
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, *, data: bool = True
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to this file, too")
    if data:
        parser.add_argument("--data", type=Path, help=f"folder of the data; by default the variable {VARIABLE}")
    return parser


def _speed_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=speed.PARTS, help="which parts; by default all")
    parser.add_argument("--rounds", type=_count, default=3, help="repetitions of chunking and indexing, by default 3")
    parser.add_argument("--files", type=_count, default=1_000, help="files to index, by default 1,000")
    parser.add_argument("--chunks", type=_count, default=100_000, help="chunks to search, by default 100,000")
    parser.add_argument("--queries", type=_count, default=500, help="how many queries, by default 500")


def _langchain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--documents", type=_count, default=5_000, help="in each store, by default 5,000")
    parser.add_argument("--queries", type=_count, default=300, help="how many, by default 300")
    parser.add_argument("--rounds", type=_count, default=10, help="of many queries at once, by default 10")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="beside the event loop")


def _embedding_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passages", type=_count, default=1_200, help="how many, by default 1,200")
    parser.add_argument("--queries", type=_count, default=200, help="how many, by default 200")
    parser.add_argument("--rounds", type=_count, default=3, help="how often all passages are embedded, by default 3")
    parser.add_argument("--speed-only", action="store_true", help="do not judge the answers of int8 models")


def _kill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=_count, default=50, help="how many, by default 50")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, by default 0")
    parser.add_argument("--files", type=_count, default=1_000, help="files to index, by default 1,000")
    parser.add_argument("--store", choices=kill.STORES, default="edge", help="what is indexed into, by default edge")
    parser.add_argument("--edit", action="store_true", help="change a file after each kill")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
