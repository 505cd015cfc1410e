"""The coding of a tile's symbols: tables, contexts, quality."""
