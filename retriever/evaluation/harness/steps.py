"""Steps whose results are kept: files named by what they were made from.

A result is written under another name first, then renamed: so it is there whole or not at all, and a run that was
killed finds what it had finished when it is started again.
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from retriever.cache_folder import cache_folder
from retriever.embedding.cache import SETTING
from retriever.errors import ConfigurationError
from retriever.evaluation.harness.records import StepTime

Model = TypeVar("Model", bound=BaseModel)

_OWN_PACKAGES = ("retriever", "retriever_chroma", "retriever_qdrant", "retriever_langchain")
_CACHE_MEGABYTES = "20000"
_KEPT = 30 * 86_400  # seconds


class Workspace:
    """Where results are kept, for every run of this user.

    :param folder: made where it is not there.
    :param fresh: make everything again; what is there is replaced.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self.times: list[StepTime] = []
        self._fresh = fresh

    @classmethod
    def default(cls, *, fresh: bool = False) -> Workspace:
        """In the user's cache folder.

        :param fresh: as above.
        """
        return cls(cache_folder() / "benchmarks", fresh=fresh)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out, and let embeddings and replicas of servers' collections be kept here.

        :raises ConfigurationError: where another run is at work.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {"RETRIEVER_CACHE": str(self.folder / "cache"), SETTING: _CACHE_MEGABYTES}
        before = {name: os.environ.get(name) for name in own}
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                os.environ.update(own)
                self._forget_old()
                yield
        except Timeout as error:
            raise ConfigurationError(
                f"another run works in {self.folder}: wait for it, or set RETRIEVER_CACHE to another folder"
            ) from error
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def find(self, step: str, inputs: Mapping[str, Any], model: type[Model]) -> Model | None:
        """What an earlier run has made.

        :param step: name of the kind of result.
        :param inputs: all that it is made from.
        :param model: what it is.
        :return: None where it is not there, or cannot be read any more.
        """
        path = self._path(step, inputs)
        if self._fresh or not path.is_file():
            return None
        try:
            kept = json.loads(gzip.decompress(path.read_bytes()))
            result = model.model_validate(kept["result"])
        except (OSError, EOFError, zlib.error, ValueError, KeyError, ValidationError):
            return None
        path.touch()
        self.times.append(StepTime(step=step, of=kept["of"], seconds=kept["seconds"], reused=True))
        return result

    def made(self, step: str, inputs: Mapping[str, Any], of: str, make: Callable[[], Model]) -> Model:
        """Make a result and keep it.

        :param step: name of the kind of result.
        :param inputs: all that it is made from.
        :param of: what it is of, for people.
        :param make: makes it.
        """
        started = time.perf_counter()
        result = make()
        seconds = time.perf_counter() - started
        self.times.append(StepTime(step=step, of=of, seconds=seconds, reused=False))
        content = json.dumps({"of": of, "seconds": seconds, "result": result.model_dump(mode="json")})
        write_whole(self._path(step, inputs), gzip.compress(content.encode(), 5, mtime=0))
        return result

    def forget(self, step: str, inputs: Mapping[str, Any]) -> None:
        """Take a result away.

        :param step: name of the kind of result.
        :param inputs: what it was made from.
        """
        self._path(step, inputs).unlink(missing_ok=True)

    @property
    def indexes(self) -> Path:
        """Folder for what lives no longer than it is asked."""
        folder = self.folder / "indexes"
        folder.mkdir(exist_ok=True)
        return folder

    def _forget_old(self) -> None:
        """Results that nobody has used for long, what killed runs have begun to write, and their indexes."""
        shutil.rmtree(self.folder / "indexes", ignore_errors=True)
        oldest = time.time() - _KEPT
        for path in self.folder.glob("*/*.json.gz*"):
            if path.stat().st_mtime < oldest:
                path.unlink()

    @contextmanager
    def timed(self, step: str, of: str) -> Iterator[None]:
        """Note how long a step took whose result is not kept.

        :param step: name of the kind of result.
        :param of: what it is of, for people.
        """
        started = time.perf_counter()
        yield
        self.times.append(StepTime(step=step, of=of, seconds=time.perf_counter() - started, reused=False))

    def _path(self, step: str, inputs: Mapping[str, Any]) -> Path:
        return self.folder / step / f"{content_hash(inputs)}.json.gz"


def content_hash(inputs: Mapping[str, Any]) -> str:
    """The name of what is made from inputs.

    :param inputs: JSON.
    """
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    :param path: of the file; its folder is made.
    :param content: of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def code_hash() -> str:
    """Of this package's own sources: results of other code are not used again."""
    digest = hashlib.blake2b(digest_size=16)
    for package in _OWN_PACKAGES:
        found = find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def plug_in_hash(cls: type) -> str:
    """Of the sources of a class that is no part of this package, and of those beside it.

    :param cls: a peer.
    """
    digest = hashlib.blake2b(f"{cls.__module__}.{cls.__qualname__}".encode(), digest_size=16)
    for path in sorted(Path(inspect.getfile(cls)).parent.glob("*.py")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()
