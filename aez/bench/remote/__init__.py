"""What reading a picture from afar costs."""
