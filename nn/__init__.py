"""What the torch packages share: nothing of faces. Modules that settings use import torch only inside
functions.
"""
