"""Samples of tiles without loss, or with a bound on the error of each: integers alone, no model."""
