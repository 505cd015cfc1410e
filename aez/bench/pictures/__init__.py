"""Codecs on pictures: rate and distortion, speed, tiles, exactness, memory."""
