"""Detectors for people who have arrays, with the conventions of scikit-learn and PyOD."""
