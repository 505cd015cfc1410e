"""What training data are like before a detector learns from them, and what of them it shall not learn."""
