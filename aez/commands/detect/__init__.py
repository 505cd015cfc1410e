"""Commands of the detectors."""
