"""Samples as they arrive, put into the rows of each stream: clocks, channels that are due, what is lost."""
