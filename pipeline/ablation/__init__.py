"""Ablations: the same detector trained under several variants and seeds, measured on every dataset of a run."""
