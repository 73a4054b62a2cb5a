"""What the parts of the contract share: the fixture they ask for, and what a class of tests may say of its store."""

from __future__ import annotations

from typing import ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings

from retriever.stores import KeepsSparse, Store
from retriever.testing.samples import make_manifest


class NewStore(Protocol):
    """What the fixture ``new_store`` gives: a factory of stores."""

    def __call__(self, name: str = "index") -> Store:
        """A new object for the place of this name, with no call made on it.

        Within a test, equal names are the same place and others are other places; all places begin empty. What was
        made is closed and removed by the fixture when the test is over.
        """


class ContractPart:
    """Base of the parts of :class:`retriever.testing.StoreContract`."""

    cannot_reopen: ClassVar[str] = ""
    """Why an index is gone with the object that made it; the test of reopening is then an expected failure that says
    so. Empty where another object on the same place finds the index."""

    no_sparse: ClassVar[str] = ""
    """Why the store keeps no learned sparse vectors; the tests of them are then expected failures that say so. Empty
    where it has the method of :class:`~retriever.stores.KeepsSparse`."""

    bm25_tolerance: ClassVar[float] = 1e-3
    """How far, relatively, a keyword score may be from exact BM25: engines may round the lengths of records."""

    examples_share: ClassVar[float] = 1.0
    """Share of the random examples that the profile of hypothesis asks for: for slow stores."""

    most_examples: ClassVar[int] = 1_000
    """No more random examples a law than this, whatever the profile of hypothesis says: for slow stores."""

    @pytest.fixture
    def store(self, new_store: NewStore) -> Store:
        """An empty index."""
        store = new_store()
        store.create(make_manifest())
        return store

    @pytest.fixture
    def sparse_store(self, new_store: NewStore) -> Store:
        """An empty index with a learned sparse model."""
        store = new_store("sparse")
        if self.no_sparse:
            assert not isinstance(store, KeepsSparse), "it keeps them: take no_sparse away"  # noqa: S101
            pytest.xfail(self.no_sparse)
        store.create(make_manifest(sparse=True))
        return store

    def law_settings(self, share: float = 1.0) -> settings:
        """Settings for a law or a state machine.

        :param share: of the examples that the profile asks for.
        """
        profile = settings()
        return settings(
            profile,
            max_examples=max(1, int(min(profile.max_examples * self.examples_share, self.most_examples) * share)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            stateful_step_count=20,
            phases=[phase for phase in profile.phases if phase is not Phase.explain],  # takes minutes on real stores
        )
