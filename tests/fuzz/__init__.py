"""Fuzzing: one target for every decoder of what comes from outside.

A target takes any bytes and raises where a promise is broken. `test_targets.py` tries a bounded
number of inputs in the suite; `python -m fuzz TARGET` looks for more, guided by coverage.
"""
