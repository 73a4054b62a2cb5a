from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retriever.loading import Unloaded, load
from retriever.types import Document

Outcome = Document | Unloaded


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, str | bytes], list[Outcome]]:
    """Write one file, and load it as the root."""

    def write_and_load(name: str, content: str | bytes) -> list[Outcome]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(load(path))

    return write_and_load
