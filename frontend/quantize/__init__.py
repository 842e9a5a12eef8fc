"""Post-training quantization: a float ONNX model and calibration data become a QDQ or QONNX file."""
