"""Settings of foreign objects: what says which vectors come out is kept, secrets never are."""

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.stores import InMemoryByteStore
from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr

from retriever_langchain import EmbeddingFunctionEmbeddings
from retriever_langchain.settings import public_settings


class Task(Enum):
    SEARCH = "search"


class Nothing(Embeddings):
    def embed_documents(self, texts):
        return [[1.0] for _ in texts]

    def embed_query(self, text):
        return [1.0]


class Anything(Nothing):
    """Keeps whatever it is given, as many classes of the community do."""

    def __init__(self, **settings):
        vars(self).update(settings)


class Provider(Nothing, BaseModel):
    """As the packages of providers write theirs."""

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    client: Any = Field(default=None, exclude=True)
    hidden: Any = Field(default="x", exclude=True)
    model: str = "text-embedding-3-small"
    dimensions: int | None = None
    deployment: str | None = None
    provider_api_key: SecretStr | None = None
    certificate: SecretBytes | None = None
    base_url: str | None = None
    chunk_size: int = 1000
    max_retries: int = 2
    request_timeout: float | tuple[float, float] | None = None
    default_headers: Mapping[str, str] | None = None
    default_query: Mapping[str, object] | None = None
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    task: Task | None = None
    show_progress_bar: bool = False


SECRETS = [
    "sk-proj-0123456789abcdefghij",
    "hf_abcdefghijklmnopqrstuvwx",
    "Bearer abcdefgh12345678",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghijklmnopqrstu",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "-----BEGIN PRIVATE KEY-----\nMIIE",
    "0123456789abcdef0123456789abcdef",
    "3d0e1f6c-2b4a-4c1d-9e8f-7a6b5c4d3e2f",
    "api_key=correct-horse",
    "jina_0123456789abcdefABCDEF0123456789",
    "user:swordfish@models.example:6333/v1",
]
SECRET_NAMES = [
    *("api_key", "openai_api_key", "apiKey", "huggingfacehub_api_token", "hf_token", "client_secret", "password"),
    *("aws_secret_access_key", "aws_access_key_id", "credentials", "credentials_profile_name", "authorization"),
    *("headers", "default_headers", "X-Api-Key", "cookie", "auth", "passphrase", "private_key_path", "signature"),
    *("sig", "sas", "connection_string", "dsn"),
]
URLS = [
    "https://user:PASSWORD@models.example/v1",
    "https://PASSWORD@models.example/v1",
    "https://models.example/v1?api-key=PASSWORD",
    "https://models.example/v1#PASSWORD",
    "postgresql+psycopg://user:PASSWORD@models.example/v1",
    "postgresql://user:PASS/PASSWORD@models.example/v1",
    "jdbc:postgresql://user:PASSWORD@models.example/v1",
]


def kept(**settings):
    return public_settings(Anything(**settings))


def test_what_says_which_vectors_come_out_is_kept():
    provider = Provider(model="m", dimensions=256, deployment="d", task=Task.SEARCH, model_kwargs={"normalize": True})
    assert public_settings(provider) == {
        "deployment": "d",
        "dimensions": 256,
        "model": "m",
        "model_kwargs": {"normalize": True},
        "task": "search",
    }


def test_what_only_says_where_when_or_how_fast_is_left_out():
    provider = Provider(
        client=object(),
        hidden="y",
        base_url="http://localhost:11434",
        chunk_size=16,
        max_retries=7,
        request_timeout=(3.0, 4.0),
        show_progress_bar=True,
        model_kwargs={"device": "cuda", "batch_size": 8, "cache_folder": "/models"},
    )
    assert public_settings(provider) == public_settings(Provider()) == {"model": "text-embedding-3-small"}


KEY = SecretStr("swordfish")
PROVIDERS = {
    "OpenAI": (
        {"model": "m", "dimensions": 256, "deployment": "d"},
        {
            "openai_api_key": KEY,
            "openai_organization": "org-1",
            "openai_api_base": "https://x",
            "openai_proxy": "http://x",
        },
        {
            "openai_api_type": "open_ai",
            "openai_api_version": "2024-02-01",
            "headers": {"x": "y"},
            "default_query": {"x": "y"},
        },
        {
            "retry_min_seconds": 1,
            "retry_max_seconds": 2,
            "request_timeout": 3,
            "chunk_size": 4,
            "show_progress_bar": True,
        },
    ),
    "AzureOpenAI": (
        {"model": "m", "deployment": "d"},
        {
            "azure_endpoint": "https://x",
            "azure_ad_token": KEY,
            "azure_ad_token_provider": str,
            "openai_api_type": "azure",
        },
        {"openai_api_version": "2024-02-01", "validate_base_url": True, "openai_api_key": KEY},
    ),
    "HuggingFace": (
        {"model_name": "m", "encode_kwargs": {"normalize_embeddings": True}, "query_encode_kwargs": {"prompt": "q: "}},
        {"model_kwargs": {"device": "cpu", "token": "swordfish"}, "cache_folder": "/x", "multi_process": True},
        {"encode_kwargs": {"normalize_embeddings": True, "batch_size": 8}, "show_progress": True},
    ),
    "HuggingFaceEndpoint": (
        {"model": "m", "repo_id": "m", "provider": "hf-inference", "task": "feature-extraction"},
        {"huggingfacehub_api_token": "swordfish", "client": object(), "async_client": object()},
    ),
    "Cohere": (
        {"model": "m", "truncate": "END", "embedding_types": ["float"]},
        {"cohere_api_key": KEY, "max_retries": 3, "request_timeout": 4.5, "user_agent": "x", "base_url": "https://x"},
    ),
    "Bedrock": (
        {"model_id": "m", "provider": "cohere", "normalize": True, "model_kwargs": {"dimensions": 256}},
        {"region_name": "x", "endpoint_url": "https://x", "credentials_profile_name": "swordfish", "config": object()},
        {"aws_access_key_id": KEY, "aws_secret_access_key": KEY, "aws_session_token": KEY},
    ),
    "VertexAI": (
        {"model_name": "m"},
        {"project": "x", "location": "x", "request_parallelism": 7, "max_retries": 3, "api_transport": "rest"},
        {
            "instance": {"batch_size": 5, "min_batch_size": 5, "lock": object()},
            "additional_headers": {"x": "swordfish"},
        },
    ),
    "Ollama": (
        {"model": "m", "num_ctx": 512},
        {"validate_model_on_init": True, "base_url": "http://x", "num_gpu": 1, "num_thread": 2, "keep_alive": 3},
    ),
    "FastEmbed": (
        {"model_name": "m", "max_length": 512, "doc_embed_type": "passage"},
        {"threads": 2, "parallel": 0, "batch_size": 8, "cache_dir": "/x"},
    ),
    "LlamaCpp": (
        {"model_path": "m.gguf", "n_ctx": 512},
        {"n_threads": 2, "n_batch": 8, "n_gpu_layers": 3, "use_mmap": True},
    ),
    "Mistral": ({"model": "m"}, {"mistral_api_key": KEY, "wait_time": 30, "max_concurrent_requests": 64}),
    "Watsonx": (
        {"model_id": "m", "params": {"truncate_input_tokens": 512}},
        {"project_id": "x", "space_id": "x", "username": "x", "apikey": KEY, "instance_id": KEY},
    ),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_of_the_settings_of_providers_those_are_kept_that_change_vectors(name):
    """Names of fields as the packages of these providers have them."""
    expected, *others = PROVIDERS[name]
    given = dict(expected)
    for more in others:
        given |= more
    assert kept(**given) == expected


def test_a_new_setting_of_the_library_changes_nothing():
    class Newer(Provider):
        encoding_format: str = "float"
        check_model: bool = False

    assert public_settings(Newer(model="m")) == public_settings(Provider(model="m"))
    assert public_settings(Newer(encoding_format="base64"))["encoding_format"] == "base64"


def test_a_default_model_is_kept_since_the_library_may_change_it():
    assert public_settings(Provider()) == public_settings(Provider(model="text-embedding-3-small"))
    assert public_settings(Provider())["model"] == "text-embedding-3-small"


def test_containers_are_plain_and_in_one_order():
    given = kept(b=(1, Path("x/y")), a={"z": {3, 1, 2}, "y": [None, 1.5, object(), float("nan")]}, c={}, d=b"bytes")
    assert json.dumps(given) == '{"a": {"y": [1.5], "z": [1, 2, 3]}, "b": [1, "x/y"]}'


def test_a_dictionary_that_holds_itself_has_an_end():
    endless = {"model": "m"}
    endless["again"] = endless
    assert json.dumps(kept(endless=endless))


def test_embeddings_within_embeddings_are_described():
    def cached(below):
        return kept(underlying_embeddings=below, document_embedding_store=InMemoryByteStore())

    small, large = cached(DeterministicFakeEmbedding(size=2)), cached(DeterministicFakeEmbedding(size=3))
    assert small["underlying_embeddings"]["size"] == 2
    assert large != small
    ours = kept(below=EmbeddingFunctionEmbeddings("hashed:32"))
    assert ours["below"]["dimension"] == 32


class Slotted(Nothing):
    __slots__ = ("_size", "model")

    def __init__(self, model, size):
        self.model, self._size = model, size


def test_slots_are_read():
    assert public_settings(Slotted("m", 3)) == {"model": "m", "size": 3}


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["swordfish", SecretStr("swordfish"), {"x": "swordfish"}, ["swordfish"]])
def test_a_name_that_says_secret_is_enough(name, value):
    assert "swordfish" not in json.dumps(kept(**{name: value, "nested": {"deep": [{name: value}]}}))


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_known_by_its_looks_too(secret):
    given = kept(model="m", extra=secret, model_kwargs={"x": secret, "y": [secret, "kept"]}, prompt=f"use {secret}")
    assert secret not in json.dumps(given)
    assert given["model_kwargs"] == {"y": ["kept"]}


@pytest.mark.parametrize("name", [*SECRETS, "\ud800", 7])
def test_nor_is_an_unusable_name_kept(name):
    assert kept(model="m", prompts={name: "x", "query": "y"}) == {"model": "m", "prompts": {"query": "y"}}


def test_what_cannot_be_written_is_left_out():
    assert kept(model="m", prompt="\ud800", scale=float("inf")) == {"model": "m"}


@pytest.mark.parametrize("secret", [SecretStr("swordfish"), SecretBytes(b"swordfish"), b"swordfish"])
def test_wrapped_secrets_and_bytes_are_never_unwrapped(secret):
    assert kept(model="m", innocent=secret, nested={"innocent": [secret]}) == {"model": "m"}


@pytest.mark.parametrize("url", URLS)
def test_an_address_keeps_host_and_path_alone(url):
    given = kept(model=url, prompt=f"as in {url} and {url}")
    assert given["model"].endswith("://models.example/v1")
    assert "PASSWORD" not in given["prompt"]


def test_an_address_with_a_secret_in_its_path_is_left_out():
    assert kept(model="https://models.example/0123456789abcdef0123456789abcdef/embed") == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"),
        ("model", "jina-embeddings-v2-base-en"),
        ("model", "voyage-large-2-instruct"),
        ("model", "hf-internal-testing/tiny-random-bert"),
        ("model", "nomic-embed-text:v1.5"),
        ("model", "embed:latest@sha256"),
        ("model", "@cf/baai/bge-m3"),
        ("model", "/models/snapshots/0123456789abcdef0123456789abcdef01234567"),
        ("revision", "0123456789abcdef0123456789abcdef01234567"),
        ("max_tokens", 512),
        ("truncate_input_tokens", 512),
        ("add_special_tokens", False),
        ("tokenizer", "cl100k_base"),
        ("tokenizer_name", "bert-base-uncased"),
        ("keyword_weight", 0.5),
        ("prompt", "Represent this sentence for searching relevant passages: "),
        ("query_instruction", "为这个句子生成表示以用于检索相关文章："),
        ("pooling", "mean"),
        ("normalize", False),
        ("quantization", 0),
    ],
)
def test_what_looks_a_little_like_one_is_no_secret(name, value):
    assert kept(**{name: value}) == {name: value}


PLANTED = "swordfish-swordfish"

innocent = st.sampled_from(["model", "x", "model_kwargs", "encode_kwargs", "prompts", "nested", "a b"])
scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5))
hidden = st.one_of(
    st.builds(lambda name: {name: PLANTED}, st.sampled_from(SECRET_NAMES)),
    st.builds(lambda name: {name: [PLANTED]}, st.sampled_from(SECRET_NAMES)),
    st.just(SecretStr(PLANTED)),
    st.just(PLANTED.encode()),
    st.just(f"sk-{PLANTED}"),
    st.just(f"https://{PLANTED}@host/path"),
    st.just(f"https://host/path?x={PLANTED}"),
)
tree = st.recursive(
    st.one_of(scalar, hidden),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(st.one_of(innocent, st.text()), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(innocent, tree, max_size=5))
def test_no_planted_secret_is_found_and_all_is_json_that_comes_back(settings):
    written = json.dumps(kept(**settings), allow_nan=False)
    assert PLANTED not in written
    assert json.loads(written) == kept(**dict(reversed(settings.items())))
    written.encode()
