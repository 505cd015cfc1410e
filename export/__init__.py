"""aez.export: networks, losses, data, training and ONNX export (needs the `train` extra, torch).

Nothing outside this package imports torch; what leaves it is an `.aezm` bundle of plain ONNX graphs and tables.
"""
