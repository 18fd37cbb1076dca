"""Pre-training of the built-in character encoder on raw text.

Corpus to packed blocks of ids (`text.py`, `vocabulary.py`, `blocks.py`), masks (`masking.py`), the
model with its loss (`objective.py`), optimizers (`muon.py`, `optimization.py`), the loop with its
checkpoints (`loop.py`, `checkpoints.py`), and the encoder as a folder (`export.py`). `run.py` is
the way through.
"""
