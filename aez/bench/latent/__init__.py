"""Latent models: reconstruction, latents, seams, times, and as codecs at low rates."""
