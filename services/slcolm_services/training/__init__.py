"""Training: the only room that knows torch and transformers."""
