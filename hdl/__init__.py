"""Amaranth generators: streams, engines, the network, emission. Nothing here knows ONNX or a board."""
