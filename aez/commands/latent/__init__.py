"""Commands that work in a latent."""
