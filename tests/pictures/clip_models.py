"""Small CLIP models made on the spot: random weights, the real architecture, tokeniser and image processor."""

import json
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = [("r", "e"), ("re", "d</w>"), ("c", "a"), ("ca", "r</w>")]


def _alphabet() -> list[str]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return list(bytes_to_unicode().values())


def _tokenizer():
    from transformers import CLIPTokenizer

    letters = _alphabet()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, MERGES), START, END]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=MERGES, model_max_length=77), vocab


def make_clip(folder: Path, seed: int = 0) -> Path:
    """As transformers saves one."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer, vocab = _tokenizer()
    torch.manual_seed(seed)
    # Large initial weights, else all texts and pictures are alike.
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "initializer_factor": 20.0}  # fmt: skip
    ids = {"bos_token_id": vocab[START], "eos_token_id": vocab[END], "pad_token_id": vocab[END]}
    config = CLIPConfig(
        text_config={"vocab_size": len(vocab), "max_position_embeddings": 77, **ids, **tower},
        vision_config={"image_size": 32, "patch_size": 8, **tower},
        projection_dim=16,
        initializer_factor=20.0,
    )
    CLIPModel(config).save_pretrained(folder)
    side = {"shortest_edge": 32}, {"height": 32, "width": 32}
    CLIPProcessor(CLIPImageProcessorPil(size=side[0], crop_size=side[1]), tokenizer).save_pretrained(folder)
    return folder


def make_library_clip(folder: Path, plain: Path) -> Path:
    """As sentence-transformers saves one today."""
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(plain), device="cpu", local_files_only=True).save_pretrained(str(folder))
    return folder


def make_former_clip(folder: Path, plain: Path) -> Path:
    """In the layout of clip-ViT-B-32: a module of a class of its own, in a folder of its own."""
    own = folder / "0_CLIPModel"
    own.mkdir(parents=True)
    for file in plain.iterdir():
        if file.name != "processor_config.json":
            (own / file.name).write_bytes(file.read_bytes())
    processor = json.loads((plain / "processor_config.json").read_text())["image_processor"]
    (own / "preprocessor_config.json").write_text(json.dumps(processor))
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    (folder / "config_sentence_transformers.json").write_text("{}")
    return folder
