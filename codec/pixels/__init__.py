"""What surrounds the samples of a picture: EXIF and orientation, colour, alpha, depth; without models."""
