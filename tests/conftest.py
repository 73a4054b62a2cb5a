"""Fixtures that several packages' tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from retriever.registry import register
from retriever.testing import CountingEmbedding

settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("slow", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the retrieval test sets."""
    folder = os.environ.get("RETRIEVER_DATA")
    if not folder:
        pytest.skip("RETRIEVER_DATA is unset: tests on real data are skipped")
    return Path(folder)


@pytest.fixture
def counting():
    """Counts what is embedded, registered as a plug-in is."""
    CountingEmbedding.reset()
    unregister = register("retriever.embeddings", "counting", CountingEmbedding)
    yield CountingEmbedding
    unregister()
