"""LitServe with its batching: up to 64 requests a call. A request is {"rows": [[20 numbers], …]}; nothing validates."""

import sys

import litserve as ls
import numpy as np
from serve_model import Model


class Score(ls.LitAPI):
    def setup(self, device):
        self.model = Model()

    def decode_request(self, request):
        return np.asarray(request["rows"])

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        ends = np.cumsum([len(x) for x in inputs])[:-1]
        return np.split(self.model.predict(np.concatenate(inputs)), ends)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"y": output.tolist()}


if __name__ == "__main__":
    api = Score(max_batch_size=64, batch_timeout=0.001)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False
    )
