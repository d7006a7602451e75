"""What a training starts from: weights of a backbone that the user has, or another detector; and what a
backbone expects.

Input size, mean and standard deviation of a backbone are those of timm's data configuration, or its preset's
own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from detector.models.architectures import ARCHITECTURES
from detector.models.architectures.beside import own_part
from detector.models.backbones import BACKBONES
from manifests.errors import DataError, DataWarning, MissingError, UsageError
from manifests.weights import find_weight
from nn.packaged import Packaged, in_order
from nn.safetensors_files import read_tensors
from nn.tensor_files import finite_tensors, plain_tensors, read_plain

if TYPE_CHECKING:
    from detector.models.network import DetectorNetwork
    from detector.training.data import Classes
    from detector.training.settings import TrainSettings

Triple = tuple[float, float, float]
HALF: Triple = (0.5, 0.5, 0.5)
WRAPPERS = ("state_dict", "model", "module", "net", "teacher", "model_state_dict")
PREFIXES = ("module.", "backbone.", "model.", "visual.", "encoder.", "trunk.", "")
SHOWN = 5
RANDOM = "random"
"""The value of `pretrained` that keeps a preset's packaged weights away."""


def data_config(name: str) -> dict[str, Any]:
    """Data configuration by timm of a preset or a model: `input_size` (C, H, W), `mean`, `std`; empty where
    unknown.
    """
    import timm

    facts = BACKBONES.get(name).facts if name in BACKBONES.names() else {}
    model = str(facts.get("timm", name))
    found = timm.get_pretrained_cfg(model, allow_unregistered=True) if timm.is_model(model) else None
    config = timm.data.config.resolve_data_config(pretrained_cfg=found.to_dict()) if found is not None else {}
    if "input_size" in facts:
        config["input_size"] = (3, facts["input_size"], facts["input_size"])
    return {**config, **{key: facts[key] for key in ("mean", "std") if key in facts}}


def input_size_of(backbone: str) -> int:
    """Side of the square input that a backbone was made for, pixels; 224 where nobody says."""
    return int(data_config(backbone).get("input_size", (3, 224, 224))[-1])


def normalisation_of(backbone: str) -> tuple[Triple, Triple]:
    """Mean and standard deviation of RGB in [0, 1] that a backbone was made for; 0.5 where nobody says."""
    config = data_config(backbone)
    mean, std = (tuple(map(float, config.get(key, HALF))) for key in ("mean", "std"))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def start_digests(settings: TrainSettings) -> dict[str, str]:
    """Digests of the files that a training starts from, and of the detectors beside it; empty where there are
    none.

    Raises:
        MissingError: one of them is not there.
    """
    found = {}
    packaged = packaged_weights(settings)
    if packaged is not None:
        found["pretrained"] = packaged.sha256
    elif settings.pretrained and settings.pretrained != RANDOM:
        found["pretrained"] = find_weight(settings.pretrained, "backbone").sha256
    if settings.start or settings.beside:
        from detector.inference.checkpoints import find_detector

        if settings.start:
            found["start"] = find_detector(settings.start).sha256
        found |= {f"beside.{k}": find_detector(name).sha256 for k, name in enumerate(settings.beside)}
    return found


def packaged_weights(settings: TrainSettings) -> Packaged | None:
    """The ImageNet weights that come with the backbone's preset, where the settings name no others and start
    from no detector.
    """
    if settings.pretrained or settings.start or settings.backbone not in BACKBONES.names():
        return None
    found = BACKBONES.get(settings.backbone).facts.get("packaged")
    return found if isinstance(found, Packaged) else None


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of a PyTorch file of tensors (nothing in it is executed).

    Raises:
        MissingError: no such file. DataError: damaged, or no state dict.
    """
    if not path.is_file():
        raise MissingError(str(path), "is not there", "give the path of a .safetensors, .pth or .pt file")
    state: Any = read_tensors(path) if path.suffix == ".safetensors" else read_plain(path)
    while isinstance(state, Mapping) and not any(isinstance(v, Tensor) for v in state.values()):
        inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), Mapping)), None)
        if inner is None:
            break
        state = inner
    tensors = (
        {str(k): v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    )
    if not tensors:
        raise DataError(str(path), "holds no state dict", "give a file of a model's weights")
    finite_tensors(plain_tensors(tensors, "it", str(path)), str(path))
    return tensors


def _widened(value: Tensor, wanted: Tensor) -> Tensor:
    """A first convolution for RGB, with zeros for further input channels: those start without effect."""
    if (
        value.ndim == 4
        and wanted.ndim == 4
        and value.shape[1] == 3 < wanted.shape[1]
        and value.shape[0] == wanted.shape[0]
        and value.shape[2:] == wanted.shape[2:]
    ):
        wide = torch.zeros_like(wanted)
        wide[:, :3] = value
        return wide
    return value


def load_backbone(trunk: torch.nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Put pretrained weights into a trunk, in place. Tensors that the trunk has not (a classifier's) are left
    aside.

    The names are the trunk's, perhaps behind a prefix (`module.`, `backbone.`, ...). A first convolution for
    RGB gets zeros for the residual's channels, so that the trunk starts as the pretrained one.

    Raises:
        DataError: tensors of the trunk are missing or of another shape; up to five are named.
    """
    own = trunk.state_dict()
    names = [{key.removeprefix(p): key for key in tensors if key.startswith(p)} for p in PREFIXES]
    best = max(names, key=lambda found: len(own.keys() & found.keys()))
    state = {key: _widened(tensors[best[key]], value) for key, value in own.items() if key in best}
    wrong = [
        f"{key} is missing" for key in own if key not in state and not key.endswith("num_batches_tracked")
    ]
    wrong += [
        f"{k} is {list(v.shape)}, not {list(own[k].shape)}"
        for k, v in state.items()
        if v.shape != own[k].shape
    ]
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataError(
            name,
            f"does not fit this backbone: {'; '.join(wrong[:SHOWN])}{more}",
            "give weights of the same model of timm, or set backbone to the model that these are of",
        )
    trunk.load_state_dict({**own, **state})


def load_start(network: DetectorNetwork, settings: TrainSettings, classes: Classes) -> dict[str, Tensor]:
    """Put in the weights that the settings start from: of the backbone (`pretrained`), or of a whole detector
    (`start`).

    Demographic heads and a mask decoder that the detector has not start from random weights, with a warning
    (none for heads where it has no demographic head at all: it then is a start for any); those that the
    settings do not ask for are left out.

    Returns:
        The detector's tensors that the network now has, by name; none where there is no `start`.

    Raises:
        MissingError: no such file. DataError: damaged, or it does not fit. UsageError: a detector of another
            taxonomy,
        another backbone, or heads of other classes.
    """
    packaged = packaged_weights(settings)
    if packaged is not None:
        tensors = read_weights(packaged.path())
        for trunk in network.encoders:
            load_backbone(trunk, in_order(trunk, tensors, packaged), packaged.distribution)
    elif settings.pretrained and settings.pretrained != RANDOM:
        path = find_weight(settings.pretrained, "backbone").path
        tensors = read_weights(path)
        for trunk in network.encoders:
            load_backbone(trunk, tensors, settings.pretrained)
    if not settings.start:
        return {}
    from detector.inference.checkpoints import find_detector, read_checkpoint

    config, header, state = read_checkpoint(find_detector(settings.start).path)
    config, state = own_part(config, state)
    check_taxonomy(header, classes.taxonomy, settings.start)
    own_kind = network.config.architecture
    alike = config.architecture == own_kind and ARCHITECTURES.create(own_kind).piecewise
    heads = (
        {name: config.heads[name] for name in network.config.heads if name in config.heads} if alike else {}
    )
    parts = ("heads", "cosine", "mask_decoder") if alike else ()
    skipped = (
        *parts,
        "dropout",
        "mirror",
        "input_size",
        "layers",
        "head_mode",
        "reversal",
        "temperature",
    )  # hold no weights
    given, own = (c.model_dump(exclude=set(skipped)) for c in (config, network.config))
    other = [f"{key} is {given[key]!r}, the settings' {own[key]!r}" for key in own if given[key] != own[key]]
    other += [
        f"head {name} has {', '.join(theirs)}, the settings' {', '.join(network.config.heads[name])}"
        for name, theirs in heads.items()
        if theirs != network.config.heads[name]
    ]
    other += [
        f"head {name} is {'no ' * (name not in config.cosine)}cosine classifier"
        for name in ("fake", *heads)
        if alike and (name in config.cosine) != (name in network.config.cosine)
    ]
    if other:
        raise UsageError(
            f"start = {settings.start!r}",
            f"is another network: {'; '.join(other)}",
            "set these keys as the detector has them",
        )
    mine = network.state_dict()
    put = {name: value for name, value in state.items() if not alike or name in mine}
    network.load_state_dict({**mine, **put})
    fresh = sorted(
        {
            name.split(".")[1] if name.startswith("heads.") else "mask decoder"
            for name in set(mine) - set(state)
            if config.heads or not name.startswith("heads.")
        }
    )
    if fresh:
        warnings.warn(
            f"start = {settings.start!r} has no {', no '.join(fresh)}: random weights",
            DataWarning,
            stacklevel=2,
        )
    return put


def check_input(network: DetectorNetwork) -> None:
    """Whether the network takes its own input size: one empty picture is run through it.

    Raises:
        UsageError: it does not.
    """
    config = network.config
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(2, 3, config.input_size, config.input_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"input_size = {config.input_size}",
            f"does not fit backbone {config.backbone!r} ({str(error).splitlines()[0]})",
            f"choose another, for example {input_size_of(config.backbone)}",
        ) from error


def check_taxonomy(header: Mapping[str, Any], taxonomy: str, name: str) -> None:
    """Whether a detector's demographic heads speak of the same classes as a manifest.

    header: of the checkpoint. taxonomy: the manifest's (`detector.training.data.classes_of(table).taxonomy`).
    A detector without demographic heads fits any.

    Raises:
        UsageError: they do not.
    """
    theirs = str(header.get("taxonomy", ""))
    if header.get("heads") and theirs and taxonomy and theirs != taxonomy:
        raise UsageError(
            f"detector {name!r}",
            f"was trained in taxonomy {theirs}, and the manifest is in {taxonomy}",
            f"import or make the manifest in {theirs}, or train a detector with heads = [] or in {taxonomy}",
        )
