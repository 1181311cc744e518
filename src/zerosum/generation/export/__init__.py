"""A generator for other programs: ONNX, torch.export, and the layout of the Hugging Face hub."""
