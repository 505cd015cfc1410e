"""The monitor's page, its API and its access."""
