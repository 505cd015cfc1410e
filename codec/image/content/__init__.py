"""What the tiles of a picture are coded as: by the model, by exact samples, or block by block by either."""
