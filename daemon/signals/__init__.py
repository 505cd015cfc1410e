"""Signals that stop: channels that are missing or stand still, and values that mean that there is no reading."""
