"""Addresses of stores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.address import DEFAULT_SCHEME, Address, parse_address
from retriever.errors import ConfigurationError

GOOD = {
    "./index": Address("qdrant", "./index"),
    "/var/lib/index": Address("qdrant", "/var/lib/index"),
    "index with spaces": Address("qdrant", "index with spaces"),
    "索引": Address("qdrant", "索引"),
    "C:\\index": Address("qdrant", "C:\\index"),
    "c:/index": Address("qdrant", "c:/index"),
    "./a:b": Address("qdrant", "./a:b"),
    "a@b": Address("qdrant", "a@b"),
    "qdrant:./index": Address("qdrant", "./index"),
    "qdrant:/abs/olute": Address("qdrant", "/abs/olute"),
    "qdrant:C:\\index": Address("qdrant", "C:\\index"),
    "memory:": Address("memory", ""),
    "memory:name": Address("memory", "name"),
    "chroma:./a:b": Address("chroma", "./a:b"),
    "qdrant://host": Address("qdrant", "", "host"),
    "qdrant://host/": Address("qdrant", "", "host"),
    "qdrant://host/name": Address("qdrant", "name", "host"),
    "qdrant://host:6334/name": Address("qdrant", "name", "host", 6334),
    "qdrant://10.0.0.1:6334/a/b": Address("qdrant", "a/b", "10.0.0.1", 6334),
    "qdrant://[::1]:6334/name": Address("qdrant", "name", "[::1]", 6334),
}


@pytest.mark.parametrize("text", GOOD)
def test_addresses(text):
    assert parse_address(text) == GOOD[text]


@pytest.mark.parametrize("text", GOOD)
def test_an_address_comes_back_from_its_text(text):
    address = parse_address(text)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("qdrant://", "HOST:PORT/NAME"),
        ("qdrant:///name", "HOST:PORT/NAME"),
        ("qdrant://:6334/name", "HOST:PORT/NAME"),
        ("qdrant://host:port/name", "HOST:PORT/NAME"),
        ("qdrant://host:/name", "HOST:PORT/NAME"),
    ],
)
def test_what_is_no_address(text, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "qdrant://user:hunter2@host/name",
        "chroma://hunter2@host",
        "qdrant://:hunter2@h:1/n",
        "qdrant://h/n?api_key=hunter2",
    ],
)
def test_secrets_are_refused_and_not_shown(text):
    with pytest.raises(ConfigurationError, match="come from the environment") as caught:
        parse_address(text)
    assert "hunter2" not in str(caught.value)


@given(st.text(min_size=1))
def test_any_text_is_an_address_or_a_typed_error(text):
    try:
        address = parse_address(text)
    except ConfigurationError:
        return
    assert parse_address(str(address)) == address
    assert address.scheme == DEFAULT_SCHEME or text.startswith(address.scheme)


@given(
    st.from_regex(r"[a-z][a-z0-9+-]+", fullmatch=True),
    st.from_regex(r"[a-z0-9.-]+|\[[0-9a-f:]+\]", fullmatch=True),
    st.none() | st.integers(0, 65535),
    st.text(st.characters(exclude_characters="@?")),
)
def test_servers_come_back(scheme, host, port, name):
    address = Address(scheme, name, host, port)
    assert parse_address(str(address)) == address
