"""MLServer with a runtime of its own class and NumPy codecs, the Open Inference Protocol's JSON, in one process."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import decode_args
from serve_model import Model


class Score(MLModel):
    async def load(self) -> bool:
        self.model = Model()
        return True

    @decode_args
    async def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict(x), dtype=np.float64)
