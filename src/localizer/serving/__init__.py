"""Models where they are used: MLflow, ONNX, a page."""
