"""`aez collection`: pictures of one kind, a model of their own, and all of them encoded with it."""
