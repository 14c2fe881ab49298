"""BentoML with one worker and a NumPy array as input: {"rows": [[20 numbers], …]}."""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from serve_model import Model

Rows = Annotated[np.ndarray, DType("float64"), Shape((-1, 20))]


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Score:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api
    async def score(self, rows: Rows) -> dict[str, list[float]]:
        return {"y": self.model.predict(rows).tolist()}
