"""Every score on request, in files that rotate."""
