"""Training of StyleGAN2 generators: data, adaptive augmentation, losses, progressive growing, exact
resume.
"""

from generators.training.settings import Phase, TrainSettings

__all__ = ["Phase", "TrainSettings"]
