"""Telemetry that nobody measured: satellites with faults on a schedule, and a year of machines."""
