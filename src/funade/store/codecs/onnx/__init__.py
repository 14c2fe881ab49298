"""Models as ONNX: converted, proven and served."""
