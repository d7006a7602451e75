"""Official snapshots are read as data: hostile, cut, or foreign files are refused by name and execute
nothing.
"""

import io
import os
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from generators import load_generator
from generators.checkpoints.official_pickle import read_official_pickle
from generators.checkpoints.official_records import ALLOWED, StoredModule
from generators.stylegan2.config import SynthesisConfig
from manifests.errors import DataError, MissingError, UsageError
from tests.generators.stored_networks import Call, module, write

SNAPSHOT = Path(__file__).parents[1] / "fixtures" / "sg2-official-format" / "uncond64.pkl"


def test_reads_config_and_tensors():
    config, state = read_official_pickle(SNAPSHOT)
    assert (config.z_dim, config.img_resolution, config.mapping_kwargs.num_layers) == (64, 64, 4)
    assert config.synthesis_kwargs.conv_clamp == 256
    assert all(t.dtype == torch.float32 for t in state.values())
    raw, _ = read_official_pickle(SNAPSHOT, "G")
    assert raw == config


def test_nothing_hostile_is_executed(tmp_path, persistence):
    witness = tmp_path / "witness"
    hostile = {
        "posix.system": Call(os.system, f"touch {witness}"),
        "builtins.eval": Call(eval, f"open({str(witness)!r}, 'w')"),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {witness}"))),
        "torch._utils._rebuild_tensor": Call(torch._utils._rebuild_tensor, 1, 2),
    }
    for name, value in hostile.items():
        for protocol in (2, 4):
            path = write(tmp_path / "bad.pkl", {"G_ema": value}, protocol)
            shown = name.replace("posix", os.system.__module__)
            short = shown.replace("builtins", "(builtins|__builtin__)").replace(
                "pickle.loads", "_?pickle.loads"
            )
            with pytest.raises(DataError, match=short):
                read_official_pickle(path)
    assert not witness.exists()


def test_module_source_and_nested_loads_are_not_executed(tmp_path, persistence):
    witness = tmp_path / "witness"
    bytes_ = pickle.dumps(Call(os.system, f"touch {witness}"), protocol=2)
    loader = Call(torch.storage._load_from_bytes, bytes_)
    tensor = Call(torch._utils._rebuild_tensor_v2, loader, 0, (1,), (1,), False, OrderedDict())
    source = f"open({str(witness)!r}, 'w')"
    state = {
        "_parameters": OrderedDict(x=tensor),
        "_init_kwargs": {"z_dim": 8, "w_dim": 8, "img_resolution": 8},
    }
    path = write(tmp_path / "nested.pkl", {"G_ema": persistence("Generator", state, source)})
    with pytest.raises(DataError, match="tensor x is not readable"):
        read_official_pickle(path)
    assert not witness.exists()


def test_a_pickle_cannot_change_what_it_names(tmp_path):
    # GLOBAL StoredModule's official name, then BUILD (None, {"__init__": OrderedDict}): set an attribute on
    # the class.
    data = (
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(N}\x8c\x08__init__ccollections\nOrderedDict\nst"
        b"b."
    )
    path = tmp_path / "build.pkl"
    path.write_bytes(b"\x80\x04" + data)
    before = StoredModule.__init__
    with pytest.raises(DataError, match=r"__setstate__|sealed"):
        read_official_pickle(path)
    assert StoredModule.__init__ is before
    assert ("builtins", "getattr") not in ALLOWED


@pytest.mark.parametrize("share", [0, 0.001, *np.arange(0.1, 1, 0.1).round(1), 0.999999])
def test_a_truncated_file_is_named(tmp_path, share):
    data = SNAPSHOT.read_bytes()
    path = tmp_path / "cut.pkl"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"cut\.pkl: is not a readable snapshot"):
        read_official_pickle(path)


def test_changed_bytes_never_get_out_of_data_errors(tmp_path):
    data = bytearray(SNAPSHOT.read_bytes()[:3000])
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.pkl"
    for _ in range(300):
        copy = bytearray(data)
        for at in rng.integers(0, len(copy), 3):
            copy[at] = rng.integers(256)
        path.write_bytes(copy)
        with pytest.raises(DataError):
            read_official_pickle(path)


def test_foreign_content_is_named(tmp_path, persistence):
    kwargs = {"_init_kwargs": {"z_dim": 8, "w_dim": 8, "img_resolution": 8}}
    cases = {
        "has no network G_ema": {"G": 1},
        "not a network": {"G_ema": {"a": 1}},
        "class 'Discriminator'": {"G_ema": persistence("Discriminator", {})},
        "unknown_kwarg": {"G_ema": module(persistence, "Generator", _init_kwargs={"unknown_kwarg": 3})},
        "child is not a network module": {
            "G_ema": module(persistence, "Generator", modules={"child": 1}, **kwargs)
        },
        "const is not a tensor": {
            "G_ema": module(persistence, "Generator", parameters={"const": 4}, **kwargs)
        },
        "type 'function'": {"G_ema": persistence("Generator", {}, kind="function")},
    }
    for message, value in cases.items():
        with pytest.raises(DataError, match=message):
            read_official_pickle(write(tmp_path / "foreign.pkl", value))
    with pytest.raises(UsageError, match="did you mean"):
        read_official_pickle(SNAPSHOT, "G_emma")
    with pytest.raises(MissingError):
        read_official_pickle(tmp_path / "absent.pkl")


def test_a_missing_tensor_is_named(tmp_path, persistence):
    buffers = {"w_avg": torch.zeros(8)}
    mapping = module(persistence, "MappingNetwork", buffers=buffers)
    init = {"z_dim": 8, "w_dim": 8, "img_resolution": 8}
    network = module(persistence, "Generator", modules={"mapping": mapping}, _init_kwargs=init)
    path = write(tmp_path / "thin.pkl", {"G_ema": network})
    config, state = read_official_pickle(path)
    assert list(state) == ["mapping.w_avg"]
    with pytest.raises(DataError, match=r"synthesis\.b4\.const is missing"):
        load_generator(path)
    assert config.num_ws == 4


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, persistence):
    values = {
        "beyond": ((2, 3), (3, 1), 0),
        "offset": ((4,), (1,), 1),
        "negative": ((2,), (-1,), 0),
        "huge": ((10**9,), (0,), 0),
    }
    for name, (size, stride, offset) in values.items():
        storage = Call(torch.storage._load_from_bytes, _typed_storage_bytes(4))
        tensor = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
        network = module(
            persistence,
            "Generator",
            buffers={name: tensor},
            _init_kwargs={"z_dim": 8, "w_dim": 8, "img_resolution": 8},
        )
        with pytest.raises(DataError, match=f"tensor {name} is not readable"):
            read_official_pickle(write(tmp_path / "big.pkl", {"G_ema": network}))


def _typed_storage_bytes(n):
    buffer = io.BytesIO()
    torch.save(
        torch.storage.TypedStorage(
            wrap_storage=torch.zeros(n).untyped_storage(), dtype=torch.float32, _internal=True
        ),
        buffer,
        _use_new_zipfile_serialization=False,
    )
    return buffer.getvalue()


def test_numpy_scalars_under_both_names_and_easy_dicts(tmp_path, persistence, monkeypatch):
    module_ = types.ModuleType("dnnlib.util")
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util", "__qualname__": "EasyDict"})
    module_.EasyDict = easy
    monkeypatch.setitem(sys.modules, "dnnlib", types.ModuleType("dnnlib"))
    monkeypatch.setitem(sys.modules, "dnnlib.util", module_)
    kwargs = easy(z_dim=np.int64(8), w_dim=np.int32(8), img_resolution=8)
    kwargs["synthesis_kwargs"] = easy(conv_clamp=np.float64(9))
    value = {
        "G_ema": module(persistence, "Generator", _init_kwargs=kwargs),
        "training_set_kwargs": np.arange(3),
    }
    data = pickle.dumps(value, protocol=2)
    new = b"numpy._core.multiarray" if b"numpy._core.multiarray" in data else b"numpy.core.multiarray"
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        path = tmp_path / "numpy.pkl"
        path.write_bytes(data.replace(new, name))
        config, _ = read_official_pickle(path)
        assert (config.z_dim, config.w_dim, config.synthesis_kwargs.conv_clamp) == (8, 8, 9.0)


SIZES = {"z_dim": 8, "w_dim": 8, "c_dim": 0, "img_resolution": 16, "img_channels": 3}
OPTIONS = {
    "channel_base": 256,
    "channel_max": 16,
    "num_fp16_res": 2,
    "architecture": "resnet",
    "conv_clamp": 64.0,
    "resample_filter": [1, 2, 2, 1],
    "activation": "lrelu",
    "use_noise": False,
    "fp16_channels_last": True,
    "fused_modconv_default": "inference_only",
}


def test_flat_synthesis_options_are_those_that_stylegan2_ada_nests(tmp_path, persistence):
    """`--cfg=stylegan2` of the newer code; every option of the model is tried, so that a new one cannot be
    forgotten.
    """
    assert set(OPTIONS) == set(SynthesisConfig.model_fields)
    nested = module(persistence, "Generator", _init_kwargs={**SIZES, "synthesis_kwargs": OPTIONS})
    expected, _ = read_official_pickle(write(tmp_path / "nested.pkl", {"G_ema": nested}))
    flat = module(persistence, "Generator", _init_kwargs={**SIZES, **OPTIONS})
    assert read_official_pickle(write(tmp_path / "flat.pkl", {"G_ema": flat}))[0] == expected
    for name, value in OPTIONS.items():
        one = module(persistence, "Generator", _init_kwargs={**SIZES, name: value})
        config, _ = read_official_pickle(write(tmp_path / "one.pkl", {"G_ema": one}))
        assert (
            getattr(config.synthesis_kwargs, name)
            == getattr(expected.synthesis_kwargs, name)
            != (getattr(SynthesisConfig(), name) if name not in ("activation",) else None)
        )


def test_what_the_newer_code_leaves_to_its_defaults_is_asked_of_the_modules(tmp_path, persistence):
    layer = module(persistence, "SynthesisLayer", conv_clamp=256)
    block = module(persistence, "SynthesisBlock", modules={"conv1": layer})
    synthesis = module(persistence, "SynthesisNetwork", modules={"b4": block}, num_fp16_res=4)
    network = module(
        persistence,
        "Generator",
        modules={"synthesis": synthesis},
        _init_kwargs={**SIZES, "channel_base": 256},
    )
    config, _ = read_official_pickle(write(tmp_path / "new.pkl", {"G_ema": network}))
    options = config.synthesis_kwargs
    assert (options.conv_clamp, options.num_fp16_res, options.channel_base) == (256, 4, 256)


@pytest.mark.parametrize(
    ("kwargs", "children", "words"),
    [
        ({"channel_base": 256}, {"input": "SynthesisInput"}, "StyleGAN3 generator"),
        ({"channel_base": 256, "magnitude_ema_beta": 0.99}, {}, "magnitude_ema_beta"),
        ({"channel_base": 256, "synthesis_kwargs": {"channel_base": 512}}, {}, "channel_base twice"),
        ({"synthesis_kwargs": [1]}, {}, "no mapping"),
    ],
)
def test_stylegan3_and_contradictions_are_refused_with_words(tmp_path, persistence, kwargs, children, words):
    parts = {name: module(persistence, kind, transform=1) for name, kind in children.items()}
    synthesis = module(persistence, "SynthesisNetwork", modules=parts)
    network = module(
        persistence, "Generator", modules={"synthesis": synthesis}, _init_kwargs={**SIZES, **kwargs}
    )
    with pytest.raises(DataError, match=words):
        read_official_pickle(write(tmp_path / "other.pkl", {"G_ema": network}))
