"""Codecs on pictures: rate-distortion, speed, where they lose."""
