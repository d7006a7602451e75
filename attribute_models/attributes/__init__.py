"""Perceived race, gender and age of aligned faces: classifiers, policies, measurement."""
