"""Formats of generator checkpoints, and finding them by name."""
