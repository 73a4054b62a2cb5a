"""What the kinds share whose model is a folder of files: its name, its place, and all that it says."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import AfterValidator

from retriever.embedding.base import EmbeddingFunction
from retriever.embedding.models import local_folder, model_folder, settings_digest


def _in_full(model: str) -> str:
    folder = local_folder(model)
    return model if folder is None else str(folder)


ModelName = Annotated[str, AfterValidator(_in_full)]
"""A hub's name, or a local folder by its full path, so that an index opens from any working directory."""


class _NamesModel(Protocol):
    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str | None: ...


class FolderModel(EmbeddingFunction):
    """An embedding function whose settings name a model and its revision."""

    @property
    def cache_identity(self) -> dict[str, str]:
        """The fingerprint, and a hash of all files with settings: an activation, for example, is in them alone."""
        return {**self.fingerprint, "settings": settings_digest(self._folder)}

    @cached_property
    def _folder(self) -> Path:
        named: _NamesModel = self.config  # type: ignore[assignment]  # each kind's own settings have both
        return model_folder(named.model, named.revision)
