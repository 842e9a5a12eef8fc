"""lutwright: compressed neural networks (ONNX) to FPGA hardware, exact, with open tools only."""

__version__ = "0.1.0"
