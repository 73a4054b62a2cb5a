"""Word vectors: Word2Vec, GloVe, fastText; reading, training and exploring them."""

from retriever.embedding.words.embedding import WordVectorConfig, WordVectorEmbedding
from retriever.embedding.words.exploring import Neighbour
from retriever.embedding.words.training import TrainedWords, train_word_vectors

__all__ = ["Neighbour", "TrainedWords", "WordVectorConfig", "WordVectorEmbedding", "train_word_vectors"]
