"""PG-FDD: forgery and demographic features taken apart, fused, and trained for the risk of the worst
cells.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from detector.losses.base import (
    DEMOGRAPHIC,
    LOSSES,
    Given,
    Loss,
    LossParams,
    Needs,
    Outputs,
    Targets,
    group_loss,
    nothing,
    present,
    sample_losses,
)
from detector.losses.daw_fdd import group_risks
from detector.losses.ldam import ldam_loss, margins
from detector.losses.smooth_risk import smooth_cvar
from detector.models.architectures.pg_fdd import partners

SCALE = 30.0


class PgParams(LossParams):
    """Weights of the terms (family: CE_spe), and what each needs.

    margin: b of the contrast. max_margin: of LDAM. alpha_in, alpha_out: of the risk inside and over cells.
    temperature: of the smooth outer level, in units of the loss.
    """

    family: float = Field(default=0.1, ge=0.0)
    reconstruction: float = Field(default=0.3, ge=0.0)
    contrast: float = Field(default=0.05, ge=0.0)
    demographic: float = Field(default=0.1, ge=0.0)
    fair: float = Field(default=1.0, ge=0.0)
    margin: float = Field(default=3.0, ge=0.0)
    max_margin: float = Field(default=0.5, ge=0.0, le=2.0)
    alpha_in: float = Field(default=0.9, gt=0.0, le=1.0)
    alpha_out: float = Field(default=0.5, gt=0.0, le=1.0)
    temperature: float = Field(default=0.1, ge=1e-4)


def contrast(features: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Mean over rows of [b + mean distance to own class - mean distance to other classes]_+; 0 where no row
    has both.

    features: [N, D]. classes: int64 [N], -1 rows take no part.
    """
    values = features if features.dtype == torch.float64 else features.float()
    known = classes >= 0
    both, self_pairs = (
        known & known[:, None],
        torch.eye(len(classes), dtype=torch.bool, device=classes.device),
    )
    same = (classes[:, None] == classes) & both & ~self_pairs
    other = (classes[:, None] != classes) & both
    anchors = same.any(1) & other.any(1)
    if not bool(anchors.any()):
        return values.sum() * 0.0
    far = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
    near = (far * same).sum(1)[anchors] / same.sum(1)[anchors]
    away = (far * other).sum(1)[anchors] / other.sum(1)[anchors]
    return (margin + near - away).clamp(min=0).mean()


def reconstruction(outputs: Outputs, targets: Targets) -> Tensor:
    """Mean |I - D(own)|, plus mean |I - D(own content, the partner's forgery and face)| over rows with a
    partner.
    """
    assert targets.images is not None
    assert targets.pairs is not None

    images = targets.images

    def errors(name: str) -> Tensor:
        return (outputs[name] - images.to(outputs[name].dtype)).abs().flatten(1).mean(1)

    own = errors("reconstruction").mean()
    found = partners(targets.fake, targets.pairs) != torch.arange(
        len(targets.fake), device=targets.fake.device
    )
    return own + errors("cross_reconstruction")[found].mean() if bool(found.any()) else own


@LOSSES.register("pg-fdd", family="fair", params=PgParams, paper="Lin et al., CVPR 2024, arXiv 2402.17229")
class PgFdd(Loss):
    """CE_agn + .1 CE_spe + .3 L_rec + .05 L_con + .1 L_dem + risk of the fused head over cells; see
    `detector.models.architectures.pg_fdd`.

    CE_agn: real/fake of the agnostic features. CE_spe: family, of the specific ones. L_rec: the image from
    its own parts, and from its content with the other half of its pair (as in UCF, Yan et al., ICCV 2023).
    L_con: `contrast`, of agnostic features by label and of specific ones by family. L_dem: LDAM of the
    demographic heads, mean over them. [recon]: contrast by mean distances, margin 3, and a softplus of
    temperature .1 at the outer level of the risk. Unknown groups are left out of their term; a term without
    rows is 0.
    """

    needs = Needs(
        heads=("family",),
        demographic_head=True,
        groups=("family",),
        counts=("cell",),
        network="pg-fdd",
        cosine=dict.fromkeys(DEMOGRAPHIC, SCALE),
    )
    trains = ("family", *DEMOGRAPHIC)

    def __init__(self, params: PgParams) -> None:
        self.params = params
        self.steps: dict[str, Tensor] = {}

    def prepare(self, given: Given) -> None:
        self.steps = {
            head: SCALE * margins(given.counts.get(head, ()), self.params.max_margin)
            for head in given.heads
            if head in DEMOGRAPHIC
        }

    def _demographic(self, outputs: Outputs, targets: Targets) -> Tensor:
        values = [ldam_loss(outputs[head], targets.groups[head], steps) for head, steps in self.steps.items()]
        return torch.stack(values).mean() if values else nothing(outputs)

    def _fair(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        cells = targets.groups["cell"]
        if not present(cells):
            return nothing(outputs)
        risks = group_risks(sample_losses(outputs, targets, smoothing), cells, self.params.alpha_in)
        return smooth_cvar(risks, self.params.alpha_out, self.params.temperature)

    def terms(self, outputs: Outputs, targets: Targets, smoothing: float) -> Mapping[str, Tensor]:
        """The six terms before their weights."""
        b = self.params.margin
        return {
            "agnostic": sample_losses(outputs, targets, smoothing, "fake_agnostic").mean(),
            "family": group_loss(outputs["family"], targets.groups["family"]),
            "reconstruction": reconstruction(outputs, targets),
            "contrast": contrast(outputs["agnostic"], targets.fake.long(), b)
            + contrast(outputs["specific"], targets.groups["family"], b),
            "demographic": self._demographic(outputs, targets),
            "fair": self._fair(outputs, targets, smoothing),
        }

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        terms = self.terms(outputs, targets, smoothing)
        weights = {
            "agnostic": 1.0,
            **{name: getattr(self.params, name) for name in terms if name != "agnostic"},
        }
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()
