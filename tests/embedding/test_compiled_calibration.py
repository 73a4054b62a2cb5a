"""Int8 models that are calibrated on the user's own texts."""

import numpy as np
import pytest
from compiled_models import kind_of, make_model

from retriever.errors import ConfigurationError, InvalidInput

TEXTS = ["the quick brown fox", "how do i rotate the signing key", "检索增强", "a short text"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(make_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RETRIEVER_EMBEDDING_CACHE", "0")


def test_own_texts_are_part_of_what_it_is_and_are_not_kept(tiny, tmp_path):
    cls, config = kind_of("openvino")
    own = cls.calibrated(config(model=tiny), TEXTS)
    bundled = cls(config(model=tiny, precision="int8"))
    assert own.config.precision == "int8"
    assert {key for key in own.fingerprint if own.fingerprint[key] != bundled.fingerprint[key]} == {"calibration"}
    vectors = own.embed_documents(TEXTS)
    again = cls.from_config(own.config.model_dump(mode="json"))
    assert again.fingerprint == own.fingerprint
    assert np.array_equal(again.embed_documents(TEXTS), vectors)
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert files
    assert not any(b"rotate the signing" in file.read_bytes() for file in files)


def test_on_another_machine_it_says_what_to_do(tiny, tmp_path, monkeypatch):
    cls, config = kind_of("openvino")
    own = cls.calibrated(config(model=tiny), TEXTS)
    vectors = own.embed_documents(TEXTS)
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigurationError, match=r"calibrated\(config, texts\) with the same texts"):
        cls(own.config).embed_query("x")
    made_again = cls.calibrated(config(model=tiny), TEXTS)
    assert made_again.config == own.config
    assert np.abs(made_again.embed_documents(TEXTS) - vectors).max() < 1e-6


@pytest.mark.parametrize("texts", [[], "one string", ["fine", "lone \ud800"]])
def test_what_cannot_be_calibrated_with(tiny, texts):
    cls, config = kind_of("openvino")
    with pytest.raises(InvalidInput):
        cls.calibrated(config(model=tiny), texts)
