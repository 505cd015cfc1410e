"""What the monitor is loaded with: rows and telemetry, the processes that send them, brokers and a receiver."""
