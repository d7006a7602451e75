"""Faces out of pictures: detected, aligned, with landmarks, features and identity."""
