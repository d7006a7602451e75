"""What the commands `fairforge av ...` do: clips into features, a model of sound and picture, its scores and
its fairness.
"""
