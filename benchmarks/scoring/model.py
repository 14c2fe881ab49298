"""The model in use; a project's copy of this file names the one that the benchmark chose."""

from scoring.model_onnx import model, predicted

__all__ = ["model", "predicted"]
