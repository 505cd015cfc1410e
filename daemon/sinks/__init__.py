"""Where events go: one kind of sink per file, each saying what it guarantees."""
