"""Servers, training and the command line of SLCoLM."""
