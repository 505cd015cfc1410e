"""What every room may use: whole files and folders, optional libraries, cores, words."""
