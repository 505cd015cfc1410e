"""What commands do with autoencoders of pictures and vectors."""
