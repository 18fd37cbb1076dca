"""Comparing ways to blend annotated and human data, over several seeds (arXiv 2402.09282)."""
