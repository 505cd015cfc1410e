"""What makes an alarm one that people can live with: measured against expected, curves, repetitions, new levels."""
