"""Detectors on public benchmarks, beside their peers."""
