"""A trained detector at work: checkpoints, scores, heat maps, ONNX."""
