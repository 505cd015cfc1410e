"""The `.aez` bytes: numbers, chunks, headers, writer and reader; without numpy."""
