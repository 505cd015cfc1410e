"""Samples to scores and events: rows on each stream's clock, batches, streams' states."""
