"""What models take beside the windows of streams."""
