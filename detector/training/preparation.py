"""What stands before the first step of a training: settings that go together, and the network they come
to.
"""

from __future__ import annotations

from detector.losses import TotalLoss
from detector.models.architectures import ARCHITECTURES, DEFAULT
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import input_size_of, normalisation_of
from detector.training.data import Classes
from detector.training.settings import TrainSettings
from manifests.errors import UsageError
from nn.processes import World


def check_shares(settings: TrainSettings, world: World, loss: TotalLoss) -> None:
    """Whether the batch splits evenly among processes and pieces, whole real/fake units in each, and the loss
    allows pieces.

    Raises:
        UsageError: it does not.
    """
    name = architecture_of(loss)
    architecture = ARCHITECTURES.create(name)
    if settings.accumulate > 1 and not architecture.pieces:
        raise UsageError(
            f"accumulate = {settings.accumulate}",
            f"does not go with loss {architecture.loss}, whose network {name} takes pairs of images",
            "set accumulate = 1",
        )
    if settings.l2_features and not architecture.normalises:
        raise UsageError(
            "l2_features = true",
            f"does not go with loss {architecture.loss}, whose heads see features of their own",
            "set l2_features = false",
        )
    unit = 1 if settings.sampling == "shuffle" else 2
    parts = world.size * settings.accumulate
    if settings.batch % (parts * unit):
        raise UsageError(
            f"batch = {settings.batch}",
            f"does not split among {world.size} processes x accumulate = {settings.accumulate}"
            + (", real and fake together" if unit == 2 else ""),
            f"choose a multiple of {parts * unit}",
        )


def architecture_of(loss: TotalLoss) -> str:
    """The architecture that a loss trains.

    Args:
        loss: of the training.
    """
    return DEFAULT if loss.needs.network == "any" else loss.needs.network


def network_config(settings: TrainSettings, classes: Classes, loss: TotalLoss) -> NetworkConfig:
    """The network that the settings, the manifest's classes and the needs of the loss come to."""
    mean, std = normalisation_of(settings.backbone)
    cosine = {head: scale for head, scale in loss.needs.cosine.items() if head in ("fake", *settings.heads)}
    return NetworkConfig(
        backbone=settings.backbone,
        input_size=settings.input_size or input_size_of(settings.backbone),
        mean=mean,
        std=std,
        stem_stride=settings.stem_stride,
        residual_input=settings.residual_input,
        residual_norm=settings.residual_norm,
        dropout=settings.dropout,
        mirror=settings.mirror,
        heads={name: getattr(classes, name) for name in settings.heads},
        architecture=architecture_of(loss),
        cosine=cosine,
        head_mode=settings.head_mode,
        reversal=settings.reversal,
        mask_decoder=settings.mask_decoder,
        layers=loss.needs.layers,
        l2_features=settings.l2_features,
    )
