"""What outlives the process: the database, events, dead letters."""
