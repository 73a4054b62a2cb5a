"""Names of models that a manifest or a collection gives, which anybody may have written: what they may look like."""

from __future__ import annotations

import os
import re
from pathlib import Path

from retriever.embedding.models import local_folder, model_folder, weights_digest
from retriever.errors import ConfigurationError, IndexMismatch

_PART = r"\w(?:[\w.-]{0,94}\w)?"
_HUB = re.compile(rf"{_PART}(?:/{_PART})?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


def check_model_name(model: object, revision: object, where: str) -> None:
    """Refuse every name but a hub's and an absolute path in its shortest form. Nothing is looked for.

    :param model: of sentence-transformers.
    :param revision: on the hub, or None.
    :param where: what gave the name, for messages.
    :raises ConfigurationError: for relative paths, ``..``, ``~``, addresses, shares and what no path can be.
    """
    if not isinstance(model, str) or not (is_hub_name(model) or _is_plain_path(model)):
        raise ConfigurationError(
            f"{where} names the model {_shown(model)}, which is neither the name of a model on the hub (ORG/NAME) nor "
            "the full path of a local folder: it is not loaded"
        )
    if revision is not None and not (
        isinstance(revision, str) and _REVISION.fullmatch(revision) and ".." not in revision and "//" not in revision
    ):
        raise ConfigurationError(f"{where} names {_shown(revision)}, which is no revision of a model: it is not loaded")


def check_model_folder(model: str, where: str) -> None:
    """Refuse a local folder that is not what its name says.

    :param model: as :func:`check_model_name` lets it pass.
    :param where: what gave the name, for messages.
    :raises ConfigurationError: where a path leads elsewhere through links, or to no model; where a name of the hub
        would be taken for a folder of the program's.
    """
    if is_hub_name(model):
        if local_folder(model) is not None:
            raise ConfigurationError(
                f"{where} names the model {model!r} on the hub, but a folder of that name is here: start the program "
                "in another folder, or give the embedding function yourself"
            )
        return
    folder = Path(model)
    try:
        is_real = folder.is_dir() and os.path.realpath(folder, strict=True) == model
        # Looked at before anything walks through the folder, which may be a whole disk.
        is_model = is_real and any((folder / name).is_file() for name in ("modules.json", "config.json"))
    except OSError:
        is_model = False
    if not is_model:
        raise ConfigurationError(
            f"{where} names the model in {_shown(model)}, but there is no such folder with a model here (links are "
            "not followed): copy the model there, or give the embedding function yourself"
        )


def check_weights(model: str, revision: str | None, recorded: str, where: str) -> None:
    """Refuse a model whose weights are not those that were recorded, before anything of it is loaded.

    :param model: as :func:`check_model_name` lets it pass.
    :param revision: on the hub, or None.
    :param recorded: :func:`~retriever.embedding.models.weights_digest` of the weights.
    :param where: what recorded them, for messages.
    :raises IndexMismatch: where they differ.
    :raises ModelNotFound: where there is no such model.
    """
    weights = weights_digest(model_folder(model, revision))
    if weights != recorded:
        raise IndexMismatch(
            f"{where} was made with the model {_shown(model)}, but the weights of that model here are others (sha256 "
            f"{weights[:12]}…, not {recorded[:12]}…): nothing was loaded. Bring the former model back, or give the "
            "embedding function yourself"
        )


def is_hub_name(model: str) -> bool:
    """Whether it is ``NAME`` or ``ORG/NAME`` in the hub's own strict form.

    :param model: any text.
    """
    return _HUB.fullmatch(model) is not None and ".." not in model and "--" not in model


def _is_plain_path(model: str) -> bool:
    return (
        model.isprintable()
        and not model.startswith(("//", "\\"))  # shares, devices
        and Path(model).is_absolute()
        and os.path.normpath(model) == model
    )


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 100 else f"{text[:100]}…"
