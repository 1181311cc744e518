"""The formats that a generator can be exported to; nothing here imports torch."""

TOLERANCE = {"torch": 1e-4, "onnx": 1e-3, "huggingface": 0.0}
"""Largest difference allowed in a sample, by the format; for images in [-1, 1] a grey level of 256 is 7.8e-3."""
FORMATS = tuple(TOLERANCE)
