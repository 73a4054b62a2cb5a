"""Questions about a machine, answered from its manual.

python FILE "How do I stop it?" "What does KX-4417 mean?"
"""

import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnablePassthrough
from manual import EMBEDDINGS, MODEL, PROMPT, pages
from qdrant_client.models import FieldCondition, Filter, MatchValue

from retriever_langchain import RetrieverVectorStore

store = RetrieverVectorStore.from_qdrant("manual", EMBEDDINGS, path="./qdrant")

press = Filter(must=[FieldCondition(key="metadata.machine", match=MatchValue(value="press"))])
retriever = store.as_retriever(search_kwargs={"k": 2, "filter": press})
chain = {"pages": retriever | pages, "question": RunnablePassthrough()} | PROMPT | MODEL | StrOutputParser()

for question in sys.argv[1:]:
    print(chain.invoke(question))
