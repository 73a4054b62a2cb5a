"""Places for stores, and their end."""

import uuid

import pytest

from retriever.testing import chroma_server


@pytest.fixture
def new_stores():
    """Makes a fixture's factory from a function of the place's name; all that it made is removed and closed."""
    made = []

    def remembering(make):
        def new_store(name="index"):
            store = make(name)
            made.append(store)
            return store

        return new_store

    yield remembering
    for store in made:
        store.close()
    for store in made:
        store.destroy()
        store.close()


@pytest.fixture
def unique():
    """A prefix for names on a place that tests share."""
    return f"contract-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def chroma(tmp_path_factory):
    """A Chroma server of this session's own."""
    with chroma_server(tmp_path_factory.mktemp("chroma-server")) as server:
        yield server
