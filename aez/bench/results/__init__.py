"""The document of results, made of the reports that the other benches write."""
