"""Public sets: fetched once, checked, unpacked into the cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

from retriever.errors import ConfigurationError
from retriever.evaluation.harness.progress import Progress

_PATIENCE = 30.0  # seconds without a byte
_BLOCK = 1 << 16


def fetched(url: str, sha256: str, cache: Path, progress: Progress) -> Path:
    """The folder of a set that is published as a zip file.

    :param url: ``http``, ``https`` or ``file``.
    :param sha256: of the file, in hexadecimal digits.
    :param cache: folder; what was unpacked in it before is used again.
    :param progress: shows how much is there.
    :return: the folder in it that holds ``corpus.jsonl``.
    :raises ConfigurationError: where it cannot be had, is not what the checksum says, or holds no such set.
    """
    target = cache / sha256
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        archive = cache / f"{sha256}.{os.getpid()}.zip"
        unpacked = cache / f"{sha256}.{os.getpid()}"
        try:
            found = _fetch(url, archive, progress)
            if found != sha256:
                raise ConfigurationError(
                    f"{url} has the SHA-256 {found}, not {sha256}: it is not what it was; not used"
                )
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(unpacked)
            unpacked.replace(target)
        except (OSError, ValueError, HTTPException, zipfile.BadZipFile) as error:
            reason = getattr(error, "reason", error)
            raise ConfigurationError(
                f"{url} cannot be fetched: {reason}; give path= of a copy on this machine"
            ) from error
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(unpacked, ignore_errors=True)
    for corpus in sorted(target.rglob("corpus.jsonl")):
        return corpus.parent
    raise ConfigurationError(f"{url} holds no corpus.jsonl: it is no set in BEIR layout")


def _fetch(url: str, target: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_PATIENCE) as answer, target.open("wb") as file:  # noqa: S310 - by whoever wrote the scenario
        length = answer.headers.get("Content-Length")
        with progress.task(f"fetching {url.rsplit('/', 1)[-1]}", int(length) if length else None) as advance:
            while block := answer.read(_BLOCK):
                digest.update(block)
                file.write(block)
                advance(len(block))
    return digest.hexdigest()
