"""Sentences that the card, the datasheet and the Croissant file share."""

INTENDED = """\
Research on deepfake detection and on its fairness: training detectors on data balanced over perceived race and gender,
measuring how their errors differ between groups, and studying shortcuts in such data."""
MISUSE = """\
Do not use it to make or improve forgeries of real people, to identify or classify people by race or gender, to decide anything
about a person, or as evidence that a detector is fair outside data like these."""
PERCEIVED = """\
Race, gender and age are **perceived** attributes: what a classifier trained on crowd labels reads from a face, in the words of its
taxonomy. They say nothing about how anybody identifies. Errors of that classifier are part of these labels."""
