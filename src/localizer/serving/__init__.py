"""Using models: image inputs, predictions and drawings, the MLflow model, ONNX export, the demo web app."""
