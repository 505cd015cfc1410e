"""Detectors on pictures: one class against the others, beside their peers."""
