"""FastAPI with a pydantic model for a row, as its documentation has it: one row at /one, a list at /many.

The endpoints are coroutines: a plain function would cost a thread for each request.
"""

from typing import Annotated

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model
from serve_model import NAMES, Model

Number = Annotated[float, Field(ge=-1000, le=1000)]
Row = create_model("Row", **dict.fromkeys(NAMES, (Number, ...)))


class Score(BaseModel):
    y: float


app = FastAPI()
model = Model()


@app.post("/one")
async def one(row: Row) -> Score:
    x = np.array([[getattr(row, name) for name in NAMES]])
    return Score(y=model.predict(x)[0])


@app.post("/many")
async def many(rows: list[Row]) -> list[Score]:
    x = np.array([[getattr(row, name) for name in NAMES] for row in rows])
    return [Score(y=y) for y in model.predict(x)]
