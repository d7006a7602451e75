"""The names of a detector's heads beside real/fake; light to import."""

from typing import Literal

HEADS: tuple[Literal["race", "gender"], ...] = ("race", "gender")
"""What a detector predicts of the face where the settings name nothing else."""
DEMOGRAPHIC = ("race", "gender", "cell")
"""Groups and heads that say who is seen; the other head tells the forgery's `family`."""
