"""Small models with random weights, made on the spot, and the two kinds that convert them."""

from importlib.util import find_spec

import pytest

NEEDED = {"openvino": ("openvino", "nncf"), "onnx": ("onnxruntime", "onnxscript", "onnx")}
SENTENCE = "the a quick brown fox jumps over lazy dog key how do i rotate signing short text number end word"
WORDS = [*SENTENCE.split(" "), *"检索增强"]


def kind_of(name):
    """The class and its settings."""
    if any(find_spec(package) is None for package in NEEDED[name]):
        pytest.skip(f"needs pip install 'hybrid-retriever[{name}]'")
    from retriever.embedding import compiled

    if name == "onnx":
        return compiled.OnnxEmbedding, compiled.OnnxConfig
    return compiled.OpenVINOEmbedding, compiled.OpenVINOConfig


def make_model(folder, *, seed=0, modes="mean", dense=False, prompts=None, pooled=True):
    """A BERT of two layers, four heads and 32 dimensions that reads 24 tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    base = folder.with_name(folder.name + "-base")
    base.mkdir()
    letters = [chr(n) for n in range(97, 123)]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *letters,
        *("##" + one for one in letters),
        ".",
        ":",
    ]
    vocabulary = {token: n for n, token in enumerate(dict.fromkeys(vocabulary))}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(base)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(base)
    modules = [Transformer(str(base), max_seq_length=24)]
    if pooled:
        modules.append(Pooling(32, modes))
        if dense:
            modules.append(Dense(32, 16))
        modules.append(Normalize())
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


def make_transformer(folder, architecture, pooling, *, pads_left=False, reads=None, **settings):
    """A small model of any architecture of the transformers library, with a tokeniser of whole words."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    base = folder.with_name(folder.name + "-base")
    vocabulary = {word: n for n, word in enumerate(dict.fromkeys(["[PAD]", "[EOS]", "[UNK]", *WORDS]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [EOS]", special_tokens=[("[EOS]", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[EOS]",
        padding_side="left" if pads_left else "right",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(base)
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        **{"num_hidden_layers": 2, "max_position_embeddings": 128, "initializer_range": 0.2, **settings},
    )
    getattr(transformers, f"{architecture}Model")(config).save_pretrained(base)
    modules = [Transformer(str(base), max_seq_length=reads), Pooling(32, pooling)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder
