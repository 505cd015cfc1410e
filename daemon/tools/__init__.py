"""What runs beside the monitor: check, replay, tap, its client."""
