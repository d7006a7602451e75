"""Official StyleGAN2-ADA snapshots, read as data: nothing in the file is executed.

A snapshot is a plain pickle `{training_set_kwargs, G, D, G_ema, augment_pipe}`. Its networks are rebuilt by
`torch_utils.persistence._reconstruct_persistent_obj(meta)`, where `meta["module_src"]` is Python source that
the original loader runs. This reader takes class name, init kwargs and tensors, and drops the source unread.
A pickle may name only what is in `generators.checkpoints.official_records.ALLOWED`; any other global is
refused by name.
"""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from generators.checkpoints.formats import GENERATOR_FORMATS, GeneratorFormat, StoredGenerator
from generators.checkpoints.official_records import ALLOWED, StoredModule, StoredTensor
from generators.stylegan2.config import GeneratorConfig, SynthesisConfig, parse_config
from manifests.archives import BROKEN
from manifests.errors import DataError, MissingError, UsageError
from manifests.pickle_checks import check_pickle
from manifests.registry import nearest
from nn.stored_tensors import Refused, as_tensor
from nn.tensor_files import load_plain, reason

NETWORKS = ("G_ema", "G")
_FIX = (
    "fetch the snapshot again from where its authors publish it; only StyleGAN2 (PyTorch) .pkl files are read"
)
TENSORFLOW = "dnnlib.tflib."


class _SnapshotUnpickler(pickle.Unpickler):
    """Unpickler that resolves nothing but the allow list."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused(f"{module}.{name}")
        return ALLOWED[module, name]


def _unpickle(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                check_pickle(data)
            return _SnapshotUnpickler(file).load()
    except Refused as refused:
        if str(refused).startswith(TENSORFLOW):
            raise DataError(
                str(path),
                f"is a TensorFlow snapshot ({refused}), which is not read; nothing was executed",
                "convert it with legacy.py of NVIDIA's stylegan2-ada-pytorch first: that one is trusted code,"
                " and does execute it",
            ) from None
        raise DataError(
            str(path),
            f"calls {refused}, which a StyleGAN2-ADA snapshot does not need; nothing was executed",
            _FIX,
        ) from None
    except BROKEN as error:
        raise DataError(
            str(path), f"is not a readable snapshot ({type(error).__name__}: {error})", _FIX
        ) from error


def _tensor(lazy: Any, name: str, path: Path) -> Tensor:
    """The tensor that a record stands for, its storage parsed by torch with `weights_only=True`, its bounds
    checked.
    """
    if not isinstance(lazy, StoredTensor):
        raise DataError(str(path), f"{name} is not a tensor", _FIX)
    try:
        flat = load_plain(lazy.storage.data)
        if not isinstance(flat, Tensor) or flat.ndim != 1:
            raise ValueError("it is no storage")
        return as_tensor(flat, lazy.offset, lazy.size, lazy.stride).to(torch.float32).clone()
    except (*BROKEN, Refused) as error:
        raise DataError(str(path), f"tensor {name} is not readable ({reason(error)})", _FIX) from error


def _entries(node: StoredModule, name: str, path: Path) -> dict[Any, Any]:
    """A module's own mapping (or set, as keys) of that name; empty where it has none."""
    found = node.state.get(name) or {}
    if not isinstance(found, Mapping | set | list):
        raise DataError(str(path), f"{name} of a {node.class_name!s:.80} is a {type(found).__name__}", _FIX)
    return dict(found) if isinstance(found, Mapping) else dict.fromkeys(map(str, found))


def _state(node: Any, prefix: str, path: Path) -> dict[str, Tensor]:
    """All parameters and persistent buffers below a module's record, by state-dict name."""
    if not isinstance(node, StoredModule):
        raise DataError(str(path), f"{prefix.rstrip('.') or 'the network'} is not a network module", _FIX)
    hidden = set(map(str, _entries(node, "_non_persistent_buffers_set", path)))
    out: dict[str, Tensor] = {}
    for group in ("_parameters", "_buffers"):
        for name, value in _entries(node, group, path).items():
            if value is not None and name not in hidden:
                out[f"{prefix}{name}"] = _tensor(value, f"{prefix}{name}", path)
    for name, child in _entries(node, "_modules", path).items():
        if child is not None:
            out |= _state(child, f"{prefix}{name}.", path)
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _below(node: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The state of a module below `node`, or an empty dict where there is none."""
    for name in names:
        inner = node.state.get("_modules") if isinstance(node, StoredModule) else None
        node = inner.get(name) if isinstance(inner, Mapping) else None
    return node.state if isinstance(node, StoredModule) else {}


def _init_kwargs(network: StoredModule, path: Path) -> dict[str, Any]:
    """The constructor's arguments as plain values."""
    kwargs = _plain(network.state.get("_init_kwargs") or {})
    if network.state.get("_init_args") or not isinstance(kwargs, dict):
        raise DataError(str(path), f"its {network.class_name} was not built with keyword arguments", _FIX)
    return kwargs


def _synthesis_kwargs(kwargs: dict[str, Any], path: Path) -> dict[str, Any]:
    """The synthesis network's options, taken out of the generator's.

    StyleGAN2-ADA nests them under `synthesis_kwargs`; the StyleGAN2 of NVIDIA's newer code
    (`--cfg=stylegan2`) has them beside the others.
    """
    nested = kwargs.pop("synthesis_kwargs", {})
    flat = {name: kwargs.pop(name) for name in SynthesisConfig.model_fields if name in kwargs}
    if not isinstance(nested, dict):
        raise DataError(str(path), "its synthesis_kwargs are no mapping", _FIX)
    twice = [name for name in flat if name in nested and nested[name] != flat[name]]
    if twice:
        raise DataError(str(path), f"names {', '.join(twice)} twice, with different values", _FIX)
    return {**nested, **flat}


def _config(network: StoredModule, path: Path) -> GeneratorConfig:
    """The init kwargs as config. Where a default differs between releases (clamping, precision), the module
    itself is asked.
    """
    if _below(network, ("synthesis", "input")):
        raise DataError(
            str(path),
            "is a StyleGAN3 generator: its synthesis begins with Fourier features",
            "give a StyleGAN2 snapshot; StyleGAN3 is not read",
        )
    kwargs = _init_kwargs(network, path)
    options = _synthesis_kwargs(kwargs, path)
    synthesis, layer = _below(network, ("synthesis",)), _below(network, ("synthesis", "b4", "conv1"))
    if "num_fp16_res" in synthesis:
        options.setdefault("num_fp16_res", synthesis["num_fp16_res"])
    if "conv_clamp" in layer:
        options["conv_clamp"] = layer["conv_clamp"]
    return parse_config({**kwargs, "synthesis_kwargs": options}, str(path))


def _network(path: Path, which: str, class_name: str) -> StoredModule:
    """The record of network `which`, of class `class_name` (its last dotted part)."""
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path")
    snapshot = _unpickle(path)
    if not isinstance(snapshot, dict) or which not in snapshot:
        raise DataError(str(path), f"has no network {which}", _FIX)
    network = snapshot[which]
    if not isinstance(network, StoredModule):
        raise DataError(str(path), f"{which} is not a network", _FIX)
    if network.class_name.rpartition(".")[2] != class_name:
        raise DataError(str(path), f"{which} is of class {network.class_name!r}, not {class_name}", _FIX)
    return network


def read_official_pickle(path: Path | str, which: str = "G_ema") -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """Config and state of a generator in an official snapshot, without executing anything in it.

    Args:
        path: a StyleGAN2 (PyTorch) `.pkl`: StyleGAN2-ADA's, or of `--cfg=stylegan2` of the newer code.
        which: `G_ema` (the averaged weights, to sample from) or `G`.

    Returns:
        `(config, state)`: constructor arguments, and float32 tensors by state-dict name; `build_generator`
        checks that they fit each other.

    Raises:
        MissingError: no such file. UsageError: `which` is not a generator.
        DataError: truncated, not a snapshot, calls a global that is not allowed, or holds another class; it
            is named.
    """
    path = Path(path)
    if which not in NETWORKS:
        raise UsageError(
            f"network {which!r}", f"is not known{nearest(which, list(NETWORKS))}", "choose G_ema or G"
        )
    network = _network(path, which, "Generator")
    return _config(network, path), _state(network, "", path)


def read_official_discriminator(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Init kwargs and state of the discriminator `D` in an official snapshot, without executing anything in
    it.

    Args:
        path: a StyleGAN2 (PyTorch) `.pkl`: StyleGAN2-ADA's, or of `--cfg=stylegan2` of the newer code.

    Returns:
        `(init_kwargs, state)`: constructor arguments as plain values, and float32 tensors by state-dict name.

    Raises:
        MissingError: no such file.
        DataError: truncated, not a snapshot, calls a global that is not allowed, or `D` is of another class;
            it is named.
    """
    path = Path(path)
    network = _network(path, "D", "Discriminator")
    return _init_kwargs(network, path), _state(network, "", path)


@GENERATOR_FORMATS.register("official-pickle", family="stylegan2")
class OfficialPickle(GeneratorFormat):
    """Official StyleGAN2-ADA snapshots (PyTorch), of which the averaged generator is taken."""

    endings = (".pkl",)
    licence_note = "NVIDIA's snapshots are for non-commercial use (NVIDIA Source Code License)"

    def read(self, path: Path) -> StoredGenerator:
        """See `GeneratorFormat.read`."""
        return StoredGenerator(*read_official_pickle(path))
