"""Hostile checkpoints in both pickle formats: refused by name, and the marker file that they would write
never appears.
"""

import argparse
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import pytest
import torch

from generators import load_generator
from generators.checkpoints.official_pickle import read_official_discriminator
from manifests.errors import DataError
from tests.generators import rosinality_layout as layout
from tests.generators.small_generators import small_generator
from tests.generators.stored_networks import Call, generator_kwargs, module, stored, write

PROTOCOLS = (2, 3, 4, 5)
KWARGS = {"z_dim": 8, "w_dim": 8, "img_resolution": 8}


@pytest.fixture
def marker(tmp_path):
    """The file that every payload tries to make."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


def payloads(marker):
    """What would run, by the name that must be shown."""
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "getattr": Call(Call(getattr, Call(__import__, "os"), "system"), f"touch {marker}"),
        "__import__": Call(__import__, "antigravity"),
        "open": Call(open, str(marker), "w"),
        "loads": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {marker}"))),
        "partial": Call(__import__("functools").partial, os.system, f"touch {marker}"),
        "load": Call(torch.load, str(marker), None),
    }


def in_generator(persistence, value, where):
    """A snapshot whose generator has `value` at `where`."""
    generator = small_generator(resolution=8)
    extra = {"_init_args": (), "_init_kwargs": generator_kwargs(generator)}
    network = stored(persistence, generator, "Generator", **extra)
    if where == "instead of the network":
        return {"G_ema": value}
    if where == "beside the networks":
        return {"augment_pipe": value, "G_ema": network}
    state = {
        "in the state": {**extra, "activation": value},
        "in the kwargs": {**extra, "_init_kwargs": {**extra["_init_kwargs"], "z_dim": value}},
    }
    return {"G_ema": stored(persistence, generator, "Generator", **state[where])}


def test_payloads_do_run_in_an_unguarded_reader(tmp_path):
    path = tmp_path / "control"
    for name in ("system", "getattr", "eval", "exec", "open", "loads"):
        made = pickle.loads(pickle.dumps(payloads(path)[name]))
        if name == "open":
            made.close()
        assert path.exists(), name
        path.unlink()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "where", ["instead of the network", "beside the networks", "in the state", "in the kwargs"]
)
def test_official_snapshots_call_nothing(tmp_path, persistence, marker, protocol, where):
    for name, payload in payloads(marker).items():
        path = write(tmp_path / "bad.pkl", in_generator(persistence, payload, where), protocol)
        shown = "__import__|getattr" if name == "getattr" else name
        with pytest.raises(DataError, match=rf"bad\.pkl: calls .*({shown}|__import__).*nothing was executed"):
            load_generator(path)
        with pytest.raises(DataError):
            read_official_discriminator(path)
        assert not marker.exists()


def raw_pickles(marker):
    """Pickles that no `pickle.dumps` writes."""
    command = f"touch {marker}".encode()
    text = b"\x8c" + bytes([len(command)]) + command
    return {
        "instruction INST": b"(S'" + command + b"'\nios\nsystem\n.",
        "instruction OBJ": b"\x80\x02(cos\nsystem\n" + text + b"o.",
        "dotted name": b"\x80\x04\x8c\x0ctorch._utils\x8c\x21_rebuild_parameter.__globals__.get\x93"
        + text
        + b"\x85R.",
        "extension registry": b"\x80\x02\x82\x01" + text + b"\x85R.",
        "persistent id": b"\x80\x02" + text + b"Q.",
        "class of an allowed one": b"\x80\x04ccollections\nOrderedDict\n)R\x8c\x09__class__\x8c\x06systemR.",
        "outside buffer": b"\x80\x05\x97.",
    }


def test_hand_written_pickles_call_nothing(tmp_path, marker):
    for name, data in raw_pickles(marker).items():
        for suffix in (".pkl", ".pt"):
            path = tmp_path / f"raw{suffix}"
            path.write_bytes(data)
            with pytest.raises(DataError, match=rf"raw\{suffix}"):
                load_generator(path)
            assert not marker.exists(), name


def test_module_source_is_never_run(tmp_path, persistence, marker):
    generator = small_generator(resolution=8)
    source = f"open({str(marker)!r}, 'w').close()\nclass Generator: pass\n"

    def hostile(class_name, state):
        return persistence(class_name, state, source)

    kwargs = {"_init_args": (), "_init_kwargs": generator_kwargs(generator)}
    path = write(tmp_path / "source.pkl", {"G_ema": stored(hostile, generator, "Generator", **kwargs)})
    assert source.encode() in path.read_bytes()
    z = torch.ones(1, 12)
    torch.testing.assert_close(load_generator(path)(z), generator(z), rtol=1e-4, atol=1e-4)  # channels last


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_inside_a_storage_is_never_run(tmp_path, persistence, marker, zipped):
    for payload in (
        payloads(marker)["system"],
        {"x": payloads(marker)["eval"]},
        argparse.Namespace(x=payloads(marker)["open"]),
    ):
        inside = io.BytesIO()
        torch.save(payload, inside, _use_new_zipfile_serialization=zipped)
        for data in (inside.getvalue(), pickle.dumps(payload, protocol=2)):
            storage = Call(torch.storage._load_from_bytes, data)
            tensor = Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, OrderedDict())
            network = module(persistence, "Generator", parameters={"w": tensor}, _init_kwargs=KWARGS)
            with pytest.raises(DataError, match=r"bad\.pkl: tensor w is not readable"):
                load_generator(write(tmp_path / "bad.pkl", {"G_ema": network}))
            with pytest.raises(DataError, match="_load_from_bytes"):
                load_generator(saved(tmp_path / "bad.pt", {"g_ema": {"w": tensor}}, zipped))


def saved(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_tensor_files_call_nothing(tmp_path, marker, zipped):
    state = layout.random_state(size=8)
    for name, payload in payloads(marker).items():
        places = [
            payload,
            {"g_ema": payload},
            {"g_ema": {**state, "conv1.noise.weight": payload}},
            {"g_ema": state, "latent_avg": payload},
            {"g_ema": state, "args": argparse.Namespace(size=payload)},
        ]
        for content in places:
            path = saved(tmp_path / "bad.pt", content, zipped)
            with pytest.raises(DataError, match=rf"bad\.pt: .*it calls .*{name}.*; nothing was executed"):
                load_generator(path)
            assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("tenths", range(10))
def test_truncated_tensor_files_are_named(tmp_path, zipped, tenths):
    data = saved(tmp_path / "whole.pt", {"g_ema": layout.random_state(size=8)}, zipped).read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(data[: len(data) * tenths // 10])
    with pytest.raises(DataError, match=r"cut\.pt: is not readable as plain tensors"):
        load_generator(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_shapes_beyond_the_storage_are_refused(tmp_path, zipped):
    shapes = [((10**6,), (1,), 0), ((2,), (-1,), 0), ((4,), (1,), 10**9), ((10**9, 10**3), (0, 0), 0)]
    for size, stride, offset in shapes:
        storage = torch.zeros(4)._typed_storage()
        tensor = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
        state = {**layout.random_state(size=8), "style.1.weight": tensor}
        with pytest.raises(DataError, match=r"big\.pt: .*(not readable|repeats its 4)"):
            load_generator(saved(tmp_path / "big.pt", {"g_ema": state}, zipped))


def test_archives_that_unpack_to_more_and_tars_are_refused(tmp_path, persistence):
    whole = saved(tmp_path / "whole.pt", {"g_ema": {"x": torch.zeros(10**6)}})
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert bomb.stat().st_size < 50_000
    with pytest.raises(DataError, match=r"bomb\.pt: .*unpacks to more than it takes"):
        load_generator(bomb)
    tar = tmp_path / "old.pt"
    with tarfile.open(tar, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(DataError, match=r"old\.pt: .*a tar archive"):
        load_generator(tar)
    for hidden in (bomb, tar):
        storage = Call(torch.storage._load_from_bytes, hidden.read_bytes())
        tensor = Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, OrderedDict())
        network = module(persistence, "Generator", parameters={"w": tensor}, _init_kwargs=KWARGS)
        with pytest.raises(DataError, match=r"tensor w is not readable .*archive"):
            load_generator(write(tmp_path / "hidden.pkl", {"G_ema": network}))
