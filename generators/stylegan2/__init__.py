"""StyleGAN2(-ADA): our own implementation, with the official state-dict names and numerics."""

from generators.stylegan2.config import GeneratorConfig, MappingConfig, SynthesisConfig
from generators.stylegan2.generator import Generator
from generators.stylegan2.style_mixing import mix_styles

__all__ = ["Generator", "GeneratorConfig", "MappingConfig", "SynthesisConfig", "mix_styles"]
