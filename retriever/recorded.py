"""A model that an index records by kind, settings and fingerprint, and that is built again from these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from retriever.errors import ManifestUnreadable, RetrieverError
from retriever.registry import Plugin


class Recordable(Plugin):
    """Base of embedding functions and of learned sparse ones."""

    Config: ClassVar[type[BaseModel]]
    """Model of the settings."""

    config: BaseModel
    """The settings."""

    has_name: ClassVar[bool] = True
    """Whether :attr:`name` leads to it: not to what wraps an object of another library."""

    def __init__(self, config: Any = None) -> None:  # noqa: ANN401 - of the type that Config names
        self.config = config if config is not None else self.Config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild one from its settings as a manifest keeps them.

        :param config: what ``config.model_dump(mode="json")`` gave.
        """
        return cls(cls.Config.model_validate(dict(config)))

    @classmethod
    def check_recorded(cls, config: Mapping[str, Any], fingerprint: Mapping[str, str], where: str) -> None:
        """Look at settings before anything is built from them: whoever can write to a store can write its manifest.

        By default nothing is refused that ``Config`` takes.

        :param config: as for :meth:`from_config`.
        :param fingerprint: recorded with it.
        :param where: what recorded them, for messages.
        :raises RetrieverError: where they must not be used.
        """
        del config, fingerprint, where


Model = TypeVar("Model", bound=Recordable)


class Recorded(Protocol):
    """What a manifest says of a model."""

    @property
    def kind(self) -> str:
        """Name under which it is registered."""

    @property
    def config(self) -> dict[str, Any]:
        """From which it can be rebuilt."""

    @property
    def fingerprint(self) -> dict[str, str]:
        """What makes vectors comparable."""


def rebuilt(cls: type[Model], recorded: Recorded, address: str) -> Model:
    """The model of an index.

    :param cls: of its kind.
    :param recorded: from the manifest.
    :param address: of the index, for messages.
    :raises RetrieverError: where :meth:`Recordable.check_recorded` refuses it.
    :raises ManifestUnreadable: where its settings are not understood.
    """
    cls.check_recorded(recorded.config, recorded.fingerprint, f"the index at {address}")
    try:
        return cls.from_config(recorded.config)
    except ValidationError as error:
        raise ManifestUnreadable(
            f"the settings of {recorded.kind!r} in the manifest are not understood: {error.errors()[0]['msg']}"
        ) from None


def copying(address: str, argument: str, model: Model, resolve: Callable[[str], Recordable]) -> str:
    """How an index is copied with another model: one that no name leads to cannot be asked for on the command line.

    :param address: of the index.
    :param argument: what ``copy`` calls it: ``embedding`` or ``sparse``.
    :param model: the other one.
    :param resolve: finds one by its name.
    """
    with suppress(RetrieverError):
        named = resolve(model.name) if model.has_name else None
        if named is not None and (named.kind, named.config) == (model.kind, model.config):
            return f"retriever copy {address} NEW --{argument} {model.name}"
    return f"retriever.copy_index({address!r}, 'NEW', {argument}=...) with the object itself"
