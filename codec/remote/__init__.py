"""Files that lie elsewhere, of which only the bytes move that are asked for."""
