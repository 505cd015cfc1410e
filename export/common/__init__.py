"""What every training shares: the trainer, files of a run, provenance, the way to ONNX."""
