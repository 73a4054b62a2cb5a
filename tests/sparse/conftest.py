"""Small learned sparse models made on the spot: random weights, real architectures."""

import json

import pytest

from retriever.registry import register
from retriever.testing import CountingSparse

WORDS = [
    *("rotate", "sign", "##ing", "key", "cake", "flour", "egg", "the", "every", "day", "error", "sugar", "lock"),
    "door",
]


@pytest.fixture(scope="session")
def masked_language_model(tmp_path_factory):
    """Folder of a plain one, and its tokeniser."""
    torch = pytest.importorskip("torch")
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"w{n}" for n in range(30))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,  # else all texts are alike
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, tokenizer, len(vocabulary)


@pytest.fixture(scope="session")
def splade(masked_language_model, tmp_path_factory):
    """Folder of a SPLADE model as the library saves it."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    plain, _, _ = masked_language_model
    folder = tmp_path_factory.mktemp("splade")
    modules = [Transformer(str(plain), transformer_task="fill-mask"), SpladePooling("max")]
    SparseEncoder(modules=modules, device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def asymmetric(masked_language_model, tmp_path_factory):
    """Folder of one that looks queries up in a table."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    plain, tokenizer, size = masked_language_model
    folder = tmp_path_factory.mktemp("asymmetric")
    router = Router.for_query_document(
        query_modules=[SparseStaticEmbedding(tokenizer, torch.linspace(0.5, 3, size))],
        document_modules=[Transformer(str(plain), transformer_task="fill-mask"), SpladePooling("max")],
    )
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture
def copied(tmp_path):
    """Makes a copy of a model's folder, with other settings in one of its files."""

    def make(folder, file=None, **settings):
        place = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        for source in folder.rglob("*"):
            target = place / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_file():
                target.write_bytes(source.read_bytes())
        if file is not None:
            path = place / file
            path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **settings}), "utf-8")
        return place

    return make


@pytest.fixture
def terms():
    """A model without a model, which counts what it encodes, registered as a plug-in is."""
    CountingSparse.reset()
    unregister = register("retriever.sparse", "counting", CountingSparse)
    yield CountingSparse
    unregister()
