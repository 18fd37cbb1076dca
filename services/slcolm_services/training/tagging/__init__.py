"""A token classifier for entities, as arXiv 2402.09282 trains: to compare with, not to serve."""
