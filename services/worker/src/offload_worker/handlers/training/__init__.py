"""How `train-model` works, a module a step: from the bytes of a table to a checked ONNX model."""
