"""How good a generator is, as formulas over features: kernel distance, Frechet distance, manifolds,
memorisation.

Everything here is numpy on feature matrices (float [N, D], one row per image); who extracts the features is
not its concern. Distances are computed block by block, so that memory stays bounded whatever the number of
images.
"""
