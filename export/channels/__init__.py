"""Channels of series: what each of them is, what of them a network sees, and what is said of them beside it."""
