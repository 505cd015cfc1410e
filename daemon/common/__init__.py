"""What every room of the monitor may use: records, limits, TLS, connections, private files."""
