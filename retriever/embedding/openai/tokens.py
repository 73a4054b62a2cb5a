"""Counting the tokens of a model that is elsewhere: with its own tokeniser where it can be had, else by estimate."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retriever.errors import ModelNotFound
from retriever.registry import raise_missing
from retriever.tokeniser import Encoding, FastTokeniser, Tokeniser

if TYPE_CHECKING:
    import tiktoken

ENCODING = "cl100k_base"
"""Of all of OpenAI's embedding models of today."""

_PATIENCE = 20.0  # seconds for the download of 1.7 MB, which has no time limit of its own


class TiktokenTokeniser:
    """One of OpenAI's tokenisers: byte-pair encoding over UTF-8.

    :param encoding: of the tiktoken library.
    """

    special_tokens = 0
    unknown_id = None
    splits_at_space = False
    splits_ideographs = False

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """Tokens of each text; what looks like a special token is text."""
        return [_BytePairs(text, self._encoding.encode_ordinary(text), self._encoding) for text in texts]


class _BytePairs:
    """Encoding of :class:`TiktokenTokeniser`."""

    def __init__(self, text: str, ids: list[int], encoding: tiktoken.Encoding) -> None:
        self.ids = ids
        self._text = text
        self._encoding = encoding

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """A character whose bytes are shared by several tokens is in the span of each."""
        lengths = np.array([len(piece) for piece in self._encoding.decode_tokens_bytes(self.ids)], dtype=np.int64)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        raw = np.frombuffer(self._text.encode(), dtype=np.uint8)
        character = np.cumsum((raw & 0xC0) != 0x80) - 1  # of each byte: all but the first of a character are 10xxxxxx
        return list(zip(character[starts].tolist(), (character[ends - 1] + 1).tolist(), strict=True))


_PIECE = re.compile(r"[A-Za-z]{1,3}|[0-9]{1,2}|\s*\n\s*|[^\S\n]{2,}|\S")


class EstimatingTokeniser:
    """A guess, rather high than low for prose.

    Three letters, two digits or one sign are a token; a character from U+0800 on, as in most scripts of Asia, is two.
    Text that is neither prose nor code (base64, rare scripts) may have more tokens than this says.
    """

    special_tokens = 0
    unknown_id = None
    splits_at_space = False
    splits_ideographs = False

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """Estimated tokens of each text."""
        return [_Estimate(text) for text in texts]


class _Estimate:
    """Encoding of :class:`EstimatingTokeniser`."""

    def __init__(self, text: str) -> None:
        self.offsets = [
            match.span() for match in _PIECE.finditer(text) for _ in range(2 if match[0] >= "\u0800" else 1)
        ]
        self.ids = [0] * len(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets)


def openai_tokeniser() -> TiktokenTokeniser | None:
    """The tokeniser of OpenAI's embedding models; None where it is neither on this machine nor to be had.

    tiktoken keeps what it fetched in the folder that ``TIKTOKEN_CACHE_DIR`` names.

    :raises MissingExtra: where tiktoken is not installed.
    """
    try:
        import tiktoken  # noqa: F401
    except ModuleNotFoundError as error:
        raise_missing("counting the tokens of OpenAI's models", error)
    encoding = _fetched()
    return None if encoding is None else TiktokenTokeniser(encoding)


@lru_cache(maxsize=1)
def _fetched() -> tiktoken.Encoding | None:
    """In a thread that is left behind where the network swallows the request."""
    found: list[tiktoken.Encoding] = []

    def fetch() -> None:
        import tiktoken

        try:
            found.append(tiktoken.get_encoding(ENCODING))
        except (OSError, ValueError):  # no network, no such file, a damaged one
            return

    thread = threading.Thread(target=fetch, name="retriever-tiktoken", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return found[0] if found else None


def tokeniser_file(name: str) -> Path:
    """Where a ``tokenizer.json`` is.

    :param name: its path, that of its folder, or a name on the hub.
    :raises ModelNotFound: where it is nowhere.
    """
    path = Path(name)
    path = path / "tokenizer.json" if path.is_dir() else path
    return path if path.is_file() else _from_hub(name)


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise_missing(f"the tokeniser {name}", error)
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"no tokeniser {name!r}: there is no such file or folder with a tokenizer.json here, and the hub did not "
            f"give it ({type(error).__name__}). Copy the model's tokenizer.json to this machine and give its path"
        ) from error


def read_tokeniser(path: Path) -> FastTokeniser:
    """A tokeniser from its file.

    :param path: of a ``tokenizer.json``.
    :raises ModelNotFound: where it is none.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise_missing(f"the tokeniser {path}", error)
    try:
        return FastTokeniser(Tokenizer.from_file(str(path)))
    except Exception as error:  # the library raises no other kind
        raise ModelNotFound(f"{path} is not a usable tokenizer.json: {error}") from error


def cut(text: str, room: int, tokeniser: Tokeniser) -> str:
    """The beginning of a text that a model reads.

    :param text: longer than that.
    :param room: in tokens.
    :param tokeniser: of the model.
    """
    (encoding,) = tokeniser.encode_batch([text])
    for tokens in range(min(room, len(encoding) - 1), 0, -1):
        # The last tokens may come out otherwise without what followed them: so they are counted again.
        piece = text[: encoding.offsets[tokens][0]]
        if len(tokeniser.encode_batch([piece])[0]) <= room:
            return piece
    return ""
