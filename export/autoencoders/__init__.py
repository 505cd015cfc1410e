"""Autoencoders of pictures and vectors for their own sake, one family a file, their training and bundles."""
