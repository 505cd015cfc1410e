"""Autoencoders whose latent diffusion and embedding work in."""
