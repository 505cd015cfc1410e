"""What lies in files: lines of files that grow and rotate, packed ones, recorded tables."""
