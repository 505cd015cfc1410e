"""The monitor's parts from its configuration."""
