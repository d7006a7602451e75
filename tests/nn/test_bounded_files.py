"""Pickles, torch files and zips that would hang, crash, fill the memory or call something: DataError, at
once.
"""

import io
import pickle
import time
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from attribute_models.training.fitting import ANEW, STATE
from attribute_models.user_weights import read_state as read_user_state
from detector.inference.checkpoints import read_state
from detector.models.starting_weights import read_weights
from generators.checkpoints.official_pickle import read_official_pickle
from generators.checkpoints.rosinality import read_rosinality
from generators.training.networks import read_discriminator
from generators.training.networks import read_state as read_generator_state
from generators.training.sources import read_source
from manifests import pickle_scan
from manifests.errors import DataError
from manifests.images import encode
from manifests.pickle_checks import check_pickle
from manifests.pickle_scan import DEEPEST
from nn import tensor_files
from nn.saving import save_state
from nn.tensor_files import load_plain, load_tensor_file, restore_optimizer, restoring

FEW = 30_000
QUICK = 5.0
"""Instructions that are enough here, and seconds of the processor: each takes some milliseconds."""
HALVES = b"K\x01K\x02\x86q\x00" + b"".join(b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(30))
LIST = b"](" + b"K\x01" * 2000 + b"e"
HOSTILE = {
    "a key that is hashed for ever": b"\x80\x02}" + HALVES + b"K\x01s.",
    "a member of a set that is hashed for ever": b"\x80\x04\x8f(" + HALVES + b"\x90.",
    "a set made by a call of what is hashed for ever": b"\x80\x02cbuiltins\nset\n]" + HALVES + b"a\x85R.",
    "a key deeper than the stack": b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s.",
    "lists in lists": b"\x80\x02" + b"]" * 2000 + b"a" * 1999 + b".",
    "a list that holds itself": b"\x80\x02]q\x01h\x01a.",
    "a mapping that wraps itself": b"\x80\x02}q\x01X\x0a\x00\x00\x00state_dicth\x01s.",
    "a memo of four thousand million places": b"\x80\x02Nr\xff\xff\xff\xffN.",
    "bytes of a terabyte": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",
    "a number of two thousand million bytes": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    "a frame of a terabyte": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
    "one list, copied ten thousand times": (
        b"\x80\x02]" + LIST + b"q\x01" + b"0(" + b"cbuiltins\nset\nh\x01\x85R" * 10_000 + b"l."
    ),
    "a thousand million values out of thirty lists": (
        b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (k + 1, k, k) for k in range(30)) + b"."
    ),
    "more instructions than any file": b"\x80\x02" + b"N0" * (FEW // 2) + b"N.",
    "a mark that is missing": b"\x80\x02Ne.",
    "an empty stack": b"\x80\x02R.",
    "no end": b"\x80\x02N",
    "instructions of old": b"(ios\nsystem\n.",
    "an outside buffer": b"\x80\x05\x97.",
    "a whole number of five thousand digits": b"L" + b"1" * 5000 + b"L\n.",
    "a line that does not end": b"F" + b"1" * 5000,
    "nothing": b"",
}
TORCH = {
    "a bytearray of a terabyte": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.",
    "a sparse tensor of nothing": b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\nNR.",
    "a tensor of a missing storage": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x009X\x03\x00\x00\x00"
        b"cpuK\x04tQK\x00K\x04\x85K\x01\x85\x89NtR."
    ),
    "a storage of a terabyte": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00"
        b"cpu\x8a\x06\x00\x00\x00\x00\x00\x01tQK\x00K\x04\x85K\x01\x85\x89NtR."
    ),
    "a call with too little": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a tensor that is changed once made": (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nNNtR."
    ),
    "a class that is changed": b"\x80\x02ccollections\nOrderedDict\nN}X\x08\x00\x00\x00__init__K\x01s\x86b.",
}
READERS = {
    "load_tensor_file": load_tensor_file,
    "read_weights": read_weights,
    "user weights": read_user_state,
    "detector state": read_state,
    "generator state": read_generator_state,
    "discriminator": read_discriminator,
    "rosinality": read_rosinality,
    "fit": lambda path: tensor_files.read_state(path, STATE, ANEW),
}
"""Everything that reads files of `torch.save`; `tests.fuzz.test_fuzz_binary` sees that nothing else does."""


def packed(pickled: bytes, **more: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in {"data.pkl": pickled, "byteorder": b"little", "data/0": b"\0" * 16, **more}.items():
            archive.writestr(f"a/{name}", data)
    return out.getvalue()


@pytest.mark.parametrize("name", [*HOSTILE, *TORCH])
def test_every_reader_refuses_at_once(tmp_path, name, monkeypatch):
    monkeypatch.setattr(pickle_scan, "MOST_INSTRUCTIONS", FEW)
    data = {**HOSTILE, **TORCH}[name]
    forms = {"a.pt": packed(data), "old.pt": data}
    start = time.process_time()
    for form, content in forms.items():
        path = tmp_path / form
        path.write_bytes(content)
        for read in READERS.values():
            with pytest.raises(DataError, match=form):
                read(path)
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.pkl"):
        read_official_pickle(path)
    assert time.process_time() - start < QUICK


def test_what_python_pickles_is_followed_to_its_end():
    value = {
        "a": [1, 2.5, "é", None, True, (1, 2, 3), (1, 2, 3, 4), {1, 2}, frozenset([3]), b"x", 2**70, -5],
        "b": {"c": {}},
    }
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        assert check_pickle(data) == len(data)
        assert check_pickle(b"before" + data + b"behind", 6) == len(data) + 6
    nested: list = []
    for _ in range(DEEPEST - 2):
        nested = [nested]
    check_pickle(pickle.dumps(nested))
    with pytest.raises(ValueError, match="deep"):
        check_pickle(pickle.dumps([[[nested]]]))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_torch_saves_comes_back(zipped, protocol):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    tied = torch.arange(4.0)
    value = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "tied": [tied, tied[1:]],
        "half": torch.ones(2).half(),
        "empty": torch.empty(0),
        "rng": torch.get_rng_state(),
        "bf16": torch.ones(3).bfloat16(),
        "turned": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).t()),
        "milestones": Counter([1, 1]),
        "set": {1},
        "nested": (1, (2, torch.ones(1))),
        "bytes": b"xx",
        "size": torch.Size([1, 2]),
        "scalar": torch.tensor(3.5),
    }
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found = load_plain(out.getvalue())
    for name in ("half", "empty", "rng", "bf16", "turned", "scalar"):
        assert torch.equal(found[name], value[name].detach())
        assert found[name].dtype == value[name].dtype
        assert not found[name].requires_grad
    found["tied"][0][1] = 9
    assert found["tied"][1][0] == 9
    assert (found["milestones"], found["set"], found["nested"][0], found["bytes"], tuple(found["size"])) == (
        Counter([1, 1]),
        {1},
        1,
        b"xx",
        (1, 2),
    )
    assert isinstance(found["network"], OrderedDict)
    network.load_state_dict(found["network"])
    restore_optimizer(optimizer, found["optimizer"])
    assert torch.equal(
        next(iter(optimizer.state.values()))["exp_avg"], value["optimizer"]["state"][0]["exp_avg"]
    )


def test_attributes_that_a_pickle_sets_are_left_aside():
    """An OrderedDict whose `items` the file replaces is read by its own items."""
    pickled = b"\x80\x02ccollections\nOrderedDict\n)RK\x01K\x02s}X\x05\x00\x00\x00itemsK\x05sb."
    assert list(load_plain(packed(pickled)).items()) == [(1, 2)]


def test_a_file_that_begins_as_one_format_is_not_read_as_another(tmp_path):
    """Two readers that disagree on what a file is would check one content and use another."""
    good = io.BytesIO()
    torch.save({"w": torch.ones(1)}, good)
    (tmp_path / "a.pt").write_bytes(HOSTILE["a list that holds itself"] + good.getvalue())
    with pytest.raises(DataError):
        load_tensor_file(tmp_path / "a.pt")
    doubled = io.BytesIO()
    with zipfile.ZipFile(doubled, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a/data.pkl", b"\x80\x02].")
    (tmp_path / "a.pt").write_bytes(doubled.getvalue())
    with pytest.raises(DataError, match="torch did not write"):
        load_tensor_file(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [[1], None, 5, {}, {"key": 1}, {"key": "k", "metrics": "x"}], ids=repr)
def test_states_of_the_right_kind_with_other_content(tmp_path, content):
    torch.save(content, tmp_path / "state.pt")
    for read in (read_state, read_generator_state, READERS["fit"]):
        with pytest.raises(DataError, match=r"state\.pt"):
            read(tmp_path / "state.pt")


def test_a_state_of_other_tensors_is_refused(tmp_path):
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()

    def changed(change):
        state = optimizer.state_dict()
        state = {
            "state": {k: dict(v) for k, v in state["state"].items()},
            "param_groups": [dict(g) for g in state["param_groups"]],
        }
        change(state)
        return state

    hostile = [
        changed(lambda s: s["state"][0].update(exp_avg=torch.ones(7))),
        changed(lambda s: s["param_groups"][0].update(lr="x")),
        changed(lambda s: s["param_groups"][0].update(params=[0])),
        changed(lambda s: s["param_groups"].clear()),
        {},
        None,
        [1],
    ]
    for state in hostile:
        with pytest.raises(DataError, match="does not fit this training"), restoring(tmp_path, "remove it"):
            restore_optimizer(torch.optim.AdamW(network.parameters()), state)
    restore_optimizer(torch.optim.AdamW(network.parameters()), changed(lambda s: None))
    save_state(
        tmp_path / "state.pt", {"key": "k", "metrics": [], "network": {}, "average": {}, "optimizer": {}}
    )
    assert read_state(tmp_path / "state.pt")["key"] == "k"


# --- zips of images ---

PNG = encode(np.full((8, 8, 3), 90, np.uint8), "png")


def image_zip(path: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in {"00/a.png": PNG, **members}.items():
            archive.writestr(name, data)
    return path


def test_members_of_a_zip_are_bounded(tmp_path, monkeypatch):
    from generators.training import sources

    monkeypatch.setattr(sources, "MAX_BYTES", 100_000)
    monkeypatch.setattr(sources, "MOST_LABELS", 1000)
    large = image_zip(tmp_path / "large.zip", zipfile.ZIP_DEFLATED, **{"00/b.png": b"\0" * 10_000_000})
    items = {name: data for name, data, _ in read_source(large)}
    assert items["00/a.png"] == PNG
    assert isinstance(items["00/b.png"], DataError)
    with pytest.raises(DataError, match="more than 1000"):
        list(read_source(image_zip(tmp_path / "labels.zip", **{"dataset.json": b" " * 2000})))
    with pytest.raises(DataError, match="nested too deeply"):
        list(read_source(image_zip(tmp_path / "deep.zip", **{"dataset.json": b"[" * 990})))


@pytest.mark.parametrize(("offset", "value", "words"), [(8, 1, "encrypted"), (10, 99, "method 99")])
def test_encrypted_members_and_unknown_methods_are_left_out(tmp_path, offset, value, words):
    path = image_zip(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + offset] = value
    path.write_bytes(data)
    ((_, found, _),) = read_source(path)
    assert isinstance(found, DataError)
    assert words in found.why
