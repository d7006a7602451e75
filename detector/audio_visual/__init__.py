"""Sound and picture: a small encoder, AVH-Align (Smeu et al., CVPR 2025) on real clips alone, and its
supervised twin.
"""
