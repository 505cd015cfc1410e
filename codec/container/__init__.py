"""The `.aez` bytes: numbers, chunks, one header for each kind of content, writer and reader; without numpy."""
