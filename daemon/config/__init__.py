"""The configuration: its schema, its reader, errors with file, line and key."""
