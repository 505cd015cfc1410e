"""Candidates that score rows beside the models that watch: they raise no alarms, and are compared with what does."""
