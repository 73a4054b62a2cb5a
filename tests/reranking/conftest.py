"""Small rerankers made on the spot: random weights, a real architecture."""

import pytest

WORDS = [f"w{n}" for n in range(50)]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    from transformers import BertTokenizerFast

    folder = tmp_path_factory.mktemp("tokenizer")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[Q]", "[D]", *WORDS, "ship", "cake", "the"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    return BertTokenizerFast(str(folder / "vocab.txt")), len(vocabulary)


def _config(size, **more):
    from transformers import BertConfig

    return BertConfig(
        vocab_size=size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,  # else all texts are alike
        **more,
    )


@pytest.fixture(scope="session")
def cross_encoder(tokenizer_folder, tmp_path_factory):
    """Folder of a cross-encoder with one output."""
    return _cross_encoder(tokenizer_folder, tmp_path_factory, 1)


@pytest.fixture(scope="session")
def classifier(tokenizer_folder, tmp_path_factory):
    """Folder of a cross-encoder with three outputs, which is none that ranks."""
    return _cross_encoder(tokenizer_folder, tmp_path_factory, 3)


def _cross_encoder(tokenizer_folder, tmp_path_factory, labels):
    import torch
    from transformers import BertForSequenceClassification

    tokenizer, size = tokenizer_folder
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("cross-encoder")
    BertForSequenceClassification(_config(size, num_labels=labels)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def late_interaction(tokenizer_folder, tmp_path_factory):
    """Folder of a model with a vector for each token."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from transformers import BertModel

    tokenizer, size = tokenizer_folder
    torch.manual_seed(4)
    plain = tmp_path_factory.mktemp("bert")
    BertModel(_config(size)).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    folder = tmp_path_factory.mktemp("late-interaction")
    MultiVectorEncoder(str(plain), device="cpu", local_files_only=True).save_pretrained(str(folder))
    return folder
