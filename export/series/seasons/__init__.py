"""Seasons of training data: finding them, what is usual in them, and their part of a graph."""
