"""A whole StyleGAN2 generator: mapping and synthesis, with what is known of where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from generators.stylegan2.config import GeneratorConfig
from generators.stylegan2.mapping import MappingNetwork
from generators.stylegan2.noise import NoiseSeed
from generators.stylegan2.precision import Precision
from generators.stylegan2.synthesis import SynthesisNetwork
from manifests.errors import DataError


class Generator(nn.Module):
    """StyleGAN2(-ADA) generator whose state-dict names and numerics are the official ones.

    `.mapping(z, c=None, psi=1.0, cutoff=None) -> w` and `.synthesis(w, noise_mode="const") -> images` are its
    halves. A new one has zero weights: call `initialise(seed)` to train it, or load a state.

    Attributes:
        z_dim, w_dim, c_dim, num_ws, resolution: sizes. config: the constructor's arguments.
        name, sha256, licence: provenance, filled by `generators.load_generator`. notes: what its file lacked
            and how that was made up for, one sentence each.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim, self.c_dim = config.z_dim, config.w_dim, config.c_dim
        self.num_ws, self.resolution = config.num_ws, config.img_resolution
        self.name, self.sha256, self.licence = "", "", "unknown"
        self.notes: tuple[str, ...] = ()
        self.synthesis = SynthesisNetwork(config)
        self.mapping = MappingNetwork(config)

    def initialise(self, seed: int) -> None:
        """Draw every weight as the papers do (N(0, 1), divided by the learning-rate multiplier), from
        `seed`.
        """
        rng = torch.Generator().manual_seed(seed)
        for module in self.modules():
            draw: Any = getattr(module, "initialise", None)
            if module is not self and draw is not None:
                draw(rng)

    def forward(
        self,
        z: Tensor | npt.NDArray,
        c: Tensor | npt.NDArray | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise_mode: str = "const",
        noise: NoiseSeed = None,
        precision: Precision = "fp32",
    ) -> Tensor:
        """z: float32 [N, z_dim] -> images: float32 [N, 3, H, W], nominally [-1, 1], RGB."""
        return self.synthesis(self.mapping(z, c, psi, cutoff), noise_mode, noise, precision)


def build_generator(config: GeneratorConfig, state: Mapping[str, Tensor], source: str) -> Generator:
    """A generator in inference mode (no gradients) from its config and state.

    Args:
        config: the constructor's arguments.
        state: tensors by official state-dict name; brought to float32.
        source: the file, for messages.

    Raises:
        DataError: a tensor is missing, unknown, of another shape, or not finite; it is named.
    """
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in Generator(config).state_dict().items()}
    found = {name: tuple(t.shape) for name, t in state.items()}
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    problems += [
        f"{name} has shape {list(found[name])}, not {list(shape)}"
        for name, shape in expected.items()
        if found.get(name, shape) != shape
    ]
    problems += (
        [] if problems else [f"{name} is not finite" for name, t in state.items() if not t.isfinite().all()]
    )
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            source,
            f"its tensors do not fit its config: {'; '.join(problems[:3])}{more}",
            "fetch the checkpoint again, or use one of the StyleGAN2-ADA family",
        )
    generator = Generator(config)
    generator.load_state_dict({name: t.detach().to(torch.float32) for name, t in state.items()})
    return generator.eval().requires_grad_(False)
