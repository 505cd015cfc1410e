"""Where telemetry comes in: one kind of source per file, each saying what it guarantees."""
