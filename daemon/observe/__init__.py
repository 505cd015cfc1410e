"""The monitor seen from outside: logs, metrics, traces, the service manager."""
