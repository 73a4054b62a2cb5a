"""For testing programs and plug-ins that build on this package: shipped, so that a third party's adapter can be judged.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def new_store(self, tmp_path):
            return lambda name="index": MyStore(tmp_path / name)

:class:`StoreContract` and what it is made of need pytest and hypothesis (the extra ``dev`` has them);
:class:`CountingEmbedding`, :class:`CountingSparse` and the servers need neither. Names are imported when they are first
used.
"""

import sys
from typing import TYPE_CHECKING

from retriever.lazy import lazily

if TYPE_CHECKING:
    from retriever.testing.base import NewStore as NewStore
    from retriever.testing.contract import StoreContract as StoreContract
    from retriever.testing.embeddings import CountingEmbedding as CountingEmbedding
    from retriever.testing.embeddings import CountingSparse as CountingSparse
    from retriever.testing.servers import chroma_server as chroma_server

_HOME = {
    "NewStore": "base",
    "StoreContract": "contract",
    "CountingEmbedding": "embeddings",
    "CountingSparse": "embeddings",
    "chroma_server": "servers",
}
_ASSERTING = (
    *("contract", "filtering", "lifecycle", "load", "machine", "oracle", "records", "searching", "sparse"),
    "writing",
)

__all__ = sorted(_HOME)

_pytest = sys.modules.get("pytest")
if _pytest is not None:  # then a failing assertion of the contract shows its values, as one in a test module does
    _pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _ASSERTING))

__getattr__, __dir__ = lazily(__name__, _HOME)
