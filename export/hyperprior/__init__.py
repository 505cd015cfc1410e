"""The coded latent: network, layers, integer path, tables, training."""
