"""What measures and compares; nothing imports it but its commands and the samples."""
