"""Pictures as a stream: their models, their scores, what is kept of them."""
