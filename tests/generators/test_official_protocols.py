"""Official snapshots at every pickle protocol, under old and new numpy names: generator, average,
discriminator.
"""

import io
import itertools
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from generators import load_generator
from generators.checkpoints.official_pickle import (
    _SnapshotUnpickler,
    read_official_discriminator,
    read_official_pickle,
)
from generators.checkpoints.official_records import Array
from manifests.errors import DataError, MissingError
from tests.generators.small_generators import small_generator
from tests.generators.stored_networks import generator_kwargs, install, module, stored, write

SNAPSHOT = Path(__file__).parents[1] / "fixtures" / "sg2-official-format" / "uncond64.pkl"
PROTOCOLS = (2, 3, 4, 5)


def under_name(data: bytes, old: str, new: str) -> bytes:
    """The same pickle with each mention of module `old` as `new`, whatever the protocol's way to write
    names.
    """
    out = io.BytesIO()
    operations = [*pickletools.genops(data), (None, None, len(data))]
    for (code, value, start), (_, _, end) in itertools.pairwise(operations):
        if code.name == "FRAME":
            continue
        if code.name == "GLOBAL" and value.split(" ")[0] == old:
            out.write(b"c" + f"{new}\n{value.split(' ')[1]}\n".encode())
        elif code.name == "SHORT_BINUNICODE" and value == old:
            out.write(b"\x8c" + bytes([len(new)]) + new.encode())
        else:
            out.write(data[start:end])
    return out.getvalue()


def easy_dict(monkeypatch):
    made = install(monkeypatch, "dnnlib.util", EasyDict=type("EasyDict", (dict,), {}))
    return made.EasyDict


@pytest.fixture
def snapshot(persistence, monkeypatch):
    """Two different generators and a discriminator as one official snapshot."""
    raw, average = (
        small_generator(seed=1, c_dim=2, architecture="resnet"),
        small_generator(seed=2, c_dim=2, architecture="resnet"),
    )
    wrap = easy_dict(monkeypatch)
    discriminator = nn.Sequential()
    discriminator.add_module("b4", nn.Linear(3, 2))
    discriminator.register_buffer("hidden", torch.ones(1), persistent=False)
    kwargs = wrap(
        c_dim=np.int64(2), img_resolution=np.int32(16), epilogue_kwargs=wrap(mbstd_group_size=np.int64(4))
    )
    value = {
        "training_set_kwargs": wrap(path="x", scale=np.float64(1.5), sizes=np.arange(3)),
        "G": stored(persistence, raw, "Generator", _init_args=(), _init_kwargs=generator_kwargs(raw, wrap)),
        "D": stored(
            persistence,
            discriminator,
            "training.networks.Discriminator",
            _init_args=(),
            _init_kwargs=kwargs,
            _non_persistent_buffers_set={"hidden"},
        ),
        "G_ema": stored(
            persistence, average, "Generator", _init_args=(), _init_kwargs=generator_kwargs(average, wrap)
        ),
        "augment_pipe": None,
    }
    return value, raw, average, discriminator


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("numpy_name", ["numpy.core", "numpy._core"])
def test_every_network_is_read_at_every_protocol(tmp_path, snapshot, protocol, numpy_name):
    value, raw, average, discriminator = snapshot
    written = pickle.dumps(value, protocol=protocol)
    present, core = ("numpy._core" if b"numpy._core" in written else "numpy.core"), numpy_name
    data = under_name(written, f"{present}.multiarray", f"{core}.multiarray")
    data = under_name(data, f"{present}.numeric", f"{core}.numeric")
    assert f"{core}.multiarray".encode() in data
    assert (f"{core}.numeric".encode() in data) == (protocol == 5)
    assert data[1] == protocol
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(data)
    for which, network in (("G", raw), ("G_ema", average)):
        config, state = read_official_pickle(path, which)
        assert config == network.config
        assert set(state) == set(network.state_dict())
        assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    z, c = np.ones((2, 12), np.float32), np.eye(2, dtype=np.float32)
    torch.testing.assert_close(
        load_generator(path)(z, c), average(z, c), rtol=1e-4, atol=1e-4
    )  # channels last
    kwargs, state = read_official_discriminator(path)
    assert kwargs == {"c_dim": 2, "img_resolution": 16, "epilogue_kwargs": {"mbstd_group_size": 4}}
    assert set(state) == {"b4.weight", "b4.bias"}
    assert torch.equal(state["b4.weight"], discriminator.b4.weight)


def test_the_official_discriminator_is_read():
    kwargs, state = read_official_discriminator(SNAPSHOT)
    assert (kwargs["c_dim"], kwargs["img_resolution"], kwargs["img_channels"]) == (0, 64, 3)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in state.values())
    assert state["b64.fromrgb.weight"].shape[1:] == (3, 1, 1)
    assert state["b4.out.weight"].shape[0] == 1
    assert {name.partition(".")[0] for name in state} == {"b64", "b32", "b16", "b8", "b4"}


def test_a_strange_discriminator_is_named(tmp_path, persistence):
    cases = {
        "has no network D": {"G_ema": persistence("Generator", {})},
        "D is not a network": {"D": 3},
        "D is of class 'training.dual.DualDiscriminator', not Discriminator": {
            "D": persistence("training.dual.DualDiscriminator", {})
        },
        "was not built with keyword arguments": {
            "D": module(persistence, "Discriminator", _init_args=(1, 2))
        },
        "is not a tensor": {"D": module(persistence, "Discriminator", parameters={"weight": "x"})},
    }
    for message, value in cases.items():
        with pytest.raises(DataError, match=message):
            read_official_discriminator(write(tmp_path / "strange.pkl", value))
    with pytest.raises(MissingError):
        read_official_discriminator(tmp_path / "absent.pkl")


def test_other_families_are_named(tmp_path, persistence):
    path = tmp_path / "tensorflow.pkl"
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b.")
    with pytest.raises(
        DataError, match=r"a TensorFlow snapshot \(dnnlib\.tflib\.network\.Network\)"
    ) as caught:
        load_generator(path)
    assert "legacy.py" in caught.value.fix
    with pytest.raises(DataError, match=r"class 'training\.triplane\.TriPlaneGenerator'"):
        load_generator(write(path, {"G_ema": persistence("training.triplane.TriPlaneGenerator", {})}))
    third = {"z_dim": 8, "w_dim": 8, "img_resolution": 8, "magnitude_ema_beta": 0.9}
    with pytest.raises(DataError, match=r"magnitude_ema_beta.*"):
        load_generator(write(path, {"G_ema": module(persistence, "Generator", _init_kwargs=third)}))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_are_read_in_every_order(protocol):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for array in (
        values,
        np.asfortranarray(values),
        values.transpose(1, 0, 2),
        values[:, ::2],
        values.astype(">i4"),
    ):
        record = _SnapshotUnpickler(io.BytesIO(pickle.dumps(array, protocol=protocol))).load()
        assert isinstance(record, Array)
        assert np.array_equal(record.values, array)
