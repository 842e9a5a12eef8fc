"""ONNX to integer graph by abstract interpretation. Nothing outside this package knows ONNX operators."""
