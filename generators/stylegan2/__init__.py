"""StyleGAN2(-ADA): our own implementation, with the official state-dict names and numerics."""

from generators.stylegan2.config import GeneratorConfig, MappingConfig, SynthesisConfig
from generators.stylegan2.generator import Generator

__all__ = ["Generator", "GeneratorConfig", "MappingConfig", "SynthesisConfig"]
