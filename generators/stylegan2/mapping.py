"""The mapping network: Z (and a class) to W, with truncation. Karras et al., arXiv 1812.04948 and
2006.06676.
"""

from __future__ import annotations

import numpy.typing as npt
import torch
from torch import Tensor, nn

from generators.stylegan2.config import GeneratorConfig
from generators.stylegan2.operations import EqualizedLinear, unit_second_moment
from manifests.errors import UsageError


class MappingNetwork(nn.Module):
    """Fully connected layers `fc0`, `fc1`, ... after normalising z; a class c is embedded, normalised,
    appended.

    `w_avg` (float32 [w_dim]) is the running mean of w, the point that truncation pulls to.
    """

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        kwargs = config.mapping_kwargs
        self.z_dim, self.c_dim, self.num_ws = config.z_dim, config.c_dim, config.num_ws
        self.num_layers = kwargs.num_layers
        embedded = (kwargs.embed_features or config.w_dim) if config.c_dim else 0
        hidden = kwargs.layer_features or config.w_dim
        sizes = [config.z_dim + embedded, *[hidden] * (kwargs.num_layers - 1), config.w_dim]
        if config.c_dim:
            self.embed = EqualizedLinear(config.c_dim, embedded)
        for k in range(kwargs.num_layers):
            layer = EqualizedLinear(sizes[k], sizes[k + 1], lr_multiplier=kwargs.lr_multiplier, lrelu=True)
            self.add_module(f"fc{k}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def _checked(self, value: Tensor | npt.NDArray, dim: int, name: str) -> Tensor:
        tensor = torch.as_tensor(value, dtype=torch.float32, device=self.w_avg.device)
        if tensor.ndim != 2 or tensor.shape[1] != dim:
            raise UsageError(
                f"{name} {list(tensor.shape)}", "does not fit this generator", f"give [N, {dim}]"
            )
        return tensor

    def forward(
        self,
        z: Tensor | npt.NDArray,
        c: Tensor | npt.NDArray | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
    ) -> Tensor:
        """Latents to styles.

        Args:
            z: float32 [N, z_dim], standard normal (its scale does not matter).
            c: float32 [N, c_dim], one-hot class; needed where c_dim > 0, ignored otherwise.
            psi: truncation, w_avg + psi (w - w_avg); 1 is none (arXiv 1812.04948, appendix B).
            cutoff: truncate the first `cutoff` styles only (None: all).

        Returns:
            w: float32 [N, num_ws, w_dim].

        Raises:
            UsageError: z or c of another shape, or c missing.
        """
        x = unit_second_moment(self._checked(z, self.z_dim, "z"))
        if self.c_dim:
            if c is None:
                raise UsageError(
                    "c", "this generator is class-conditional", f"give c as float32 [N, {self.c_dim}]"
                )
            x = torch.cat([x, unit_second_moment(self.embed(self._checked(c, self.c_dim, "c")))], dim=1)
        for k in range(self.num_layers):
            x = getattr(self, f"fc{k}")(x)
        w = x.unsqueeze(1).repeat(1, self.num_ws, 1)
        if psi == 1.0:
            return w
        truncated = self.num_ws if cutoff is None else cutoff
        w[:, :truncated] = self.w_avg.lerp(w[:, :truncated], psi)
        return w
