"""The families, one a file; `aez.export.autoencoders.registry` names them."""
