"""Detectors of odd pictures: training and bundle."""
