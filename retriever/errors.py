"""Everything this package raises on purpose.

    RetrieverError
    ├── InvalidInput (ValueError)      a text, id, vector, metadata or argument that cannot be used
    │   └── FilterError                a filter that does not parse
    ├── ConfigurationError             a setting, an address or a name that leads nowhere
    │   ├── MissingExtra (ImportError) a feature whose optional packages are not installed
    │   └── ModelNotFound              a model that is neither on disk nor to be had from the hub
    ├── EmbeddingError                 an embedding function returned something unusable
    └── StoreError                     the store could not do it
        ├── StoreUnavailable           it does not answer, or not in time, or is too busy; trying again may help
        ├── AccessDenied               it wants a key, or another one
        ├── RecordsRefused             it will not take some records, which are named; the others are written
        ├── StoreDamaged               its files cannot be read any more
        ├── StoreNotFound              nothing is there
        ├── StoreLocked                another process holds it
        ├── NotAStore                  something else is there
        └── ManifestError              the index and this program do not agree
            ├── ManifestUnreadable     damaged, or written by a newer version
            └── IndexMismatch          built with another model, chunker or analyser

Messages name the item and say what to do. Secrets never appear in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class RetrieverError(Exception):
    """Base of every error of this package."""


class InvalidInput(RetrieverError, ValueError):
    """A value given by the caller cannot be used; the message names it."""


class FilterError(InvalidInput):
    """A filter does not parse; the message names the part that is wrong."""


class ConfigurationError(RetrieverError):
    """A setting, an address or a name leads nowhere."""


class MissingExtra(ConfigurationError, ImportError):
    """A feature needs packages of an extra that is not installed.

    :param feature: what the user asked for.
    :param extra: name of the extra that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(f"{feature} needs an extra: pip install 'hybrid-retriever[{extra}]'")


class ModelNotFound(ConfigurationError):
    """A model is neither on disk, nor bundled, nor to be had from the hub."""


class EmbeddingError(RetrieverError):
    """An embedding function returned the wrong count, dimension or values."""


class StoreError(RetrieverError):
    """A store could not do what was asked.

    :cvar retryable: whether the same call may succeed a little later.
    """

    retryable: ClassVar[bool] = False


class StoreUnavailable(StoreError):
    """A store does not answer, not in time, or says that it is too busy.

    :param message: names the store.
    :param retry_after: seconds that the store asks to wait; None where it does not say.
    """

    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class AccessDenied(StoreError):
    """A store wants a key, or refuses the one it was given."""


class RecordsRefused(StoreError):
    """A store will not take some records, for example for their size. All others of the call are written.

    :param message: names the store, the records and the reason.
    :param chunk_ids: of the refused records.
    """

    def __init__(self, message: str, chunk_ids: Sequence[str]) -> None:
        self.chunk_ids = list(chunk_ids)
        super().__init__(message)


class StoreDamaged(StoreError):
    """A store's files cannot be read any more; the message says how to repair it."""


class StoreNotFound(StoreError):
    """There is no index at the address."""


class StoreLocked(StoreError):
    """Another process holds the store."""


class NotAStore(StoreError):
    """What is at the address is not an index of this package; it was left untouched."""


class ManifestError(StoreError):
    """The index and this program do not agree."""


class ManifestUnreadable(ManifestError):
    """The manifest is damaged, or was written by a newer version."""


class IndexMismatch(ManifestError):
    """The index was built with something else than what was asked for; the message names both sides."""
