"""The contract of stores, as tests that an adapter inherits."""

from __future__ import annotations

from collections.abc import Iterator

from retriever.errors import InvalidInput
from retriever.testing.filtering import Filtering
from retriever.testing.lifecycle import Lifecycle
from retriever.testing.load import Load
from retriever.testing.machine import RandomHistories
from retriever.testing.records import RoundTrips
from retriever.testing.searching import Searching
from retriever.testing.sparse import LearnedSparse
from retriever.testing.writing import Writing


class StoreContract(Lifecycle, Writing, RoundTrips, Searching, LearnedSparse, Filtering, RandomHistories, Load):
    """What :class:`retriever.stores.Store` promises, as far as every place can be asked for it.

    Inherit it, give one fixture, and run pytest. What depends on the place is left for an adapter's own tests: that
    ``open`` accepts its address; other programs' data, damage and locks at the place; attempts that were interrupted,
    processes that died; records that are refused; requests that fail.

    The fixture ``new_store`` returns a :class:`~retriever.testing.base.NewStore`: a factory of stores by name of the
    place, where equal names are the same place. It closes and removes afterwards what was made::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def new_store(self, tmp_path):
                return lambda name="index": MyStore(tmp_path / name)

    The class attributes of :class:`~retriever.testing.base.ContractPart` say in what a store may differ. Beyond them,
    a test is only left out by overriding it under a strict expected failure, which says why::

            @pytest.mark.xfail(reason="the engine has no zero vectors: its issue 123", strict=True)
            def test_zero_vectors_are_like_nothing(self, store):
                super().test_zero_vectors_are_like_nothing(store)

    Any other way of overriding a test is an error when the class is defined.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        silent = [name for name in dir(StoreContract) if name.startswith("test_") and not _is_kept(cls, name)]
        if silent:
            raise InvalidInput(
                f"{cls.__name__} overrides {', '.join(silent)} of the contract: mark each with "
                '@pytest.mark.xfail(reason="why", strict=True), or leave it as it is'
            )


def _is_kept(cls: type, name: str) -> bool:
    test = getattr(cls, name)
    return test is getattr(StoreContract, name) or any(_says_why(mark) for mark in _marks(test))


def _marks(test: object) -> Iterator[object]:
    yield from getattr(test, "pytestmark", [])


def _says_why(mark: object) -> bool:
    """Whether it is an unconditional and strict xfail with a reason."""
    if getattr(mark, "name", None) != "xfail" or getattr(mark, "args", ()):
        return False
    options = getattr(mark, "kwargs", {})
    reason = options.get("reason")
    says_why = isinstance(reason, str) and bool(reason.strip())
    return says_why and options.get("strict") is True and "condition" not in options
