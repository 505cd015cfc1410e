"""Sweeps over autoencoders: the price of the divergence, the code's size, and noise."""
