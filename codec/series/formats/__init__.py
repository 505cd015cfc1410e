"""The file formats of series: text, Parquet, and NumPy's."""
