"""What becomes of columns on the way in: texts that are numbers, units, scale and offset, other names."""
