"""Streams whose events are recorded and not sent for a time: mutes, and maintenance windows."""
