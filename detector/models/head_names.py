"""The names of a detector's heads beside real/fake; light to import."""

HEADS = ("race", "gender")
"""What a detector predicts of the face where the settings name nothing else."""
DEMOGRAPHIC = ("race", "gender", "cell")
"""Groups and heads that say who is seen; the other head tells the forgery's `family`."""
