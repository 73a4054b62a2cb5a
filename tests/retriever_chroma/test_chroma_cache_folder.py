"""Where the replicas of servers' collections are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from retriever.cache_folder import cache_folder


def test_the_user_chooses(monkeypatch):
    monkeypatch.setenv("RETRIEVER_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="they keep caches elsewhere")
def test_the_xdg_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("RETRIEVER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hybrid-retriever"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "hybrid-retriever"
