"""What detectors found, to look at: pages, plots, tables, files of scores."""
