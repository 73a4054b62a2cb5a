"""What the index beside a collection is made by: another analyser or another model, and it is made anew."""

from __future__ import annotations

import json
from dataclasses import dataclass

from retriever.keyword.config import AnalyserConfig
from retriever.keyword.impacts import unit_for
from retriever.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of a replica.

    :param analyser: makes the terms.
    :param keyword: False where there are none.
    :param unit: of the weights of learned sparse vectors; None where there are none.
    """

    analyser: AnalyserConfig
    keyword: bool = True
    unit: float | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Rules:
        """Those of an index.

        :param manifest: of the index.
        """
        unit = None
        if manifest.sparse is not None:
            documents = manifest.sparse.canaries[:-1]
            unit = unit_for(weight for canary in documents for weight in canary.weights if weight > 0)
        return cls(manifest.analyser, manifest.keyword, unit)

    def text(self) -> str:
        """As the note beside the index has them."""
        analyser = self.analyser.model_dump_json()
        if self.keyword and self.unit is None:
            return analyser
        return json.dumps({"analyser": analyser, "keyword": self.keyword, "unit": self.unit})
