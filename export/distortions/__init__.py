"""Differentiable measures of how far a decoded picture is from its original."""
