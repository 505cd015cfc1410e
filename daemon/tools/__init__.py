"""What runs beside the monitor: check, replay, simulate, tap, its client."""
