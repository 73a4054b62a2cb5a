"""What importing and constructing do not do; addresses, names and secrets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from retriever.address import parse_address
from retriever.errors import ConfigurationError
from retriever.registry import find
from retriever_chroma import ChromaStore

SECRET = "sk-very-secret-0123456789"


def from_address(text: str) -> ChromaStore:
    return ChromaStore.from_address(parse_address(text))


def test_importing_and_constructing_open_nothing(tmp_path):
    code = (
        "import sys, threading; from retriever_chroma import ChromaStore;"
        "touching = ('socket.connect', 'sqlite3.connect');"
        "sys.addaudithook(lambda event, _: sys.exit(event) if event in touching else None);"
        "ChromaStore(); ChromaStore(path='x'); ChromaStore(host='h', api_key='k');"
        "sys.exit(threading.active_count() > 1 or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())


def test_the_core_imports_no_chromadb():
    code = (
        "import sys, retriever; from retriever import Retriever; from retriever.registry import names;"
        "names('retriever.stores'); Retriever.open('memory:', embedding='hashed');"
        "sys.exit('chromadb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_is_found_under_its_scheme():
    assert find("retriever.stores", "chroma") is ChromaStore


@pytest.mark.parametrize(
    "address",
    [
        "chroma:./db/handbook",
        "chroma:./db#docs",
        "chroma:db#a#docs",
        "chroma::memory:",
        "chroma::memory:#docs",
        "chroma://host:8000/handbook",
        "chroma://[::1]:9000/handbook",
    ],
)
def test_an_address_comes_back(address):
    shown = from_address(address).address
    assert from_address(shown).address == shown
    assert shown.replace("./", "") == address.replace("./", "")


def test_default_ports():
    assert from_address("chroma://host/docs").address == "chroma://host:8000/docs"
    assert from_address("chroma://api.trychroma.com/docs").address == "chroma://api.trychroma.com:443/docs"


@pytest.mark.parametrize(
    "address", ["chroma:", "chroma:#docs", "chroma://host:8000", "chroma:./db#x", "chroma://h/a b"]
)
def test_addresses_that_lead_nowhere(address):
    with pytest.raises(ConfigurationError):
        from_address(address)


@pytest.mark.parametrize("name", ["", "ab", "-abc", "abc-", "a b c", "a/b/c", "ünï", "a" * 513, "abc\n"])
def test_names_that_chroma_refuses_are_refused_before_any_call(name):
    with pytest.raises(ConfigurationError, match="3 to 512 characters"):
        ChromaStore(collection=name)


def test_one_place_only():
    with pytest.raises(ConfigurationError, match="one place"):
        ChromaStore(path="x", host="y")
    with pytest.raises(ConfigurationError, match="not a str"):
        ChromaStore("chroma:./db")


def test_keys_are_never_shown(monkeypatch):
    store = ChromaStore(host="example.org", api_key=SECRET, tenant="t")
    monkeypatch.setenv("CHROMA_API_KEY", SECRET)
    for each in (store, ChromaStore(host="example.org"), from_address("chroma://api.trychroma.com/docs")):
        shown = f"{each!r} {each} {each.address} {each._place!r} {each._calling()!r}"
        assert SECRET not in shown
        assert each._place.secret == SECRET


def test_tls_is_on_wherever_a_key_is_sent_away(monkeypatch):
    def tls(**options):
        return ChromaStore(**options)._place.tls

    assert tls(host="api.trychroma.com") is True
    assert tls(host="example.org", api_key=SECRET) is True
    assert tls(host="localhost", api_key=SECRET) is False
    assert tls(host="example.org") is False
    assert tls(host="example.org", api_key=SECRET, tls=False) is False
    monkeypatch.setenv("CHROMA_TLS", "1")
    assert tls(host="example.org") is True
    monkeypatch.setenv("CHROMA_TLS", "yes")
    with pytest.raises(ConfigurationError, match="CHROMA_TLS"):
        tls(host="example.org")


def test_a_key_that_no_header_holds_is_refused_without_showing_it():
    with pytest.raises(ConfigurationError) as caught:
        ChromaStore(host="example.org", api_key=SECRET + "\n")
    assert SECRET not in str(caught.value)
