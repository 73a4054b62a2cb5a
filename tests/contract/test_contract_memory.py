"""The contract, kept by the exact store in memory."""

import pytest

from retriever.memory import MemoryStore
from retriever.testing import StoreContract


class TestMemoryStore(StoreContract):
    cannot_reopen = "a memory store is gone with its object"

    @pytest.fixture
    def new_store(self):
        return lambda name="index": MemoryStore(name)
