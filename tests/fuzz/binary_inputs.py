"""Every binary reader, and those of a run's own JSON, with the inputs that are damaged in bulk."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import random
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from attribute_models.networks import load_network as load_face_network
from attribute_models.training.fitting import ANEW, STATE
from attribute_models.user_weights import read_state as read_user_state
from attribute_models.weights_io import save_network
from detector.inference.checkpoints import load_network, read_state, save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import read_weights
from generators.cells.directions import read_directions
from generators.cells.model import CellModel
from generators.checkpoints.files import load_checkpoint
from generators.checkpoints.official_pickle import read_official_pickle
from generators.stylegan2.generator import build_generator
from generators.training.networks import read_discriminator
from generators.training.sources import read_source
from manifests.adapters import import_images
from nn.onnx_files import open_session
from nn.tensor_files import load_tensor_file
from nn.tensor_files import read_state as read_any_state
from pipeline.commands.evaluate.table import cross_table
from pipeline.commands.evaluate.table_formats import FORMATS
from tests.fuzz.adapter_inputs import webdataset
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated
from tests.fuzz.reader_inputs import index, manifest, read_and_check, results, training_zip
from tests.fuzz.weight_inputs import cells, directions, engine, generator, onnx_model, saved, snapshot

Read = Callable[[Path], Any]


def torch_files() -> dict[str, bytes]:
    """A file that each reader of `torch.save` files takes: weights, and states of trainings."""
    state = {"w": torch.ones(2, 3), "b": torch.zeros(2, dtype=torch.int64)}
    groups = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    content = {
        "state_dict": {f"module.{name}": value for name, value in state.items()},
        "key": "k",
        "epoch": 1,
        "metrics": [{"loss": 0.5}],
        "network": state,
        "average": state,
        "optimizer": groups,
        "phase": 0,
        "step": 1,
        "generator": state,
        "discriminator": state,
        "optimizer_g": groups,
        "optimizer_d": groups,
        "signs": [1.0],
        "metrics_lines": 1,
        "p": 0.1,
        "path_mean": 0.5,
    }
    out = {}
    for name, zipped in (("new.pt", True), ("old.pt", False)):
        data = io.BytesIO()
        torch.save(content, data, _use_new_zipfile_serialization=zipped)
        out[name] = data.getvalue()
    return out


def _table(place: Path) -> None:
    made = cross_table([place])
    for render in FORMATS.values():
        render(made)


def _network_files() -> dict[str, bytes]:
    config = NetworkConfig(backbone="resnet10t-narrow", input_size=32, heads={"race": ("White", "Black")})
    made = build_network(config, 0).state_dict()
    return saved("d.safetensors", lambda path: save_checkpoint(path, config, made, {"taxonomy": "fairface4"}))


def _face_files() -> dict[str, bytes]:
    from attribute_models.networks import AttributeNetwork

    config = {
        "kind": "attributes",
        "trunk": "test_resnet",
        "size": 32,
        "heads": {"race": ["A", "B"]},
        "temperature": {"race": 1.0},
    }
    network = AttributeNetwork("test_resnet", {"race": 2})
    return saved("f.safetensors", lambda path: save_network(path, network, config))


def _generator_files() -> dict[str, bytes]:
    from generators.checkpoints.files import save_generator

    return saved("g.safetensors", lambda path: save_generator(path, generator()))


def _generator(place: Path) -> None:
    config, state, _ = load_checkpoint(place / "g.safetensors")
    build_generator(config, state, "g")


def marker() -> dict[str, bytes]:
    """A finished shard of one file."""
    value = {
        "key": "k",
        "digest": "00" * 32,
        "rows": 1,
        "files": {"images/a.png": [3, "00" * 32]},
        "content": "00" * 32,
    }
    return {
        "run/done/00000.json": json.dumps(value).encode(),
        "run/done/00009.json": json.dumps(value).encode(),
        "run/images/a.png": b"abc",
        "beside.txt": b"x",
    }


def _both(read: Read) -> Read:
    """Read both forms of a torch file, each whatever becomes of the other."""
    from manifests.errors import UserError

    def every(place: Path) -> None:
        told = None
        for name in ("new.pt", "old.pt"):
            (place / "a.pt").write_bytes((place / name).read_bytes())
            try:
                read(place / "a.pt")
            except UserError as error:
                told = error
        if told is not None:
            raise told

    return every


def targets() -> dict[str, list[Target]]:
    """Kind of file -> its readers."""
    every: dict[str, list[tuple[str, Callable[[], dict[str, bytes]], Read]]] = {
        "pickle": [("official snapshot", snapshot, lambda place: read_official_pickle(place / "a.pkl"))],
        "torch": [
            (read.__module__, torch_files, _both(read))
            for read in (
                load_tensor_file,
                read_weights,
                read_user_state,
                read_state,
                read_discriminator,
                lambda path: read_any_state(path, STATE, ANEW),
            )
        ],
        "zip": [
            (
                "training zip",
                lambda: {"a.zip": training_zip()},
                lambda place: [str(label) for _, _, label in read_source(place / "a.zip")],
            )
        ],
        "safetensors": [
            ("detector", _network_files, lambda place: load_network(place / "d.safetensors")),
            (
                "face model",
                _face_files,
                lambda place: load_face_network(place / "f.safetensors", "attributes"),
            ),
            ("generator", _generator_files, _generator),
            ("cell model", cells, lambda place: CellModel.load(place / "c.safetensors")),
            ("directions", directions, lambda place: read_directions(place / "x.safetensors")),
        ],
        "onnx": [
            ("session", lambda: {"m.onnx": onnx_model()}, lambda place: open_session(place / "m.onnx")),
            ("engine", lambda: {"m.onnx": onnx_model()}, engine),
        ],
        "parquet": [
            ("manifest", lambda: {"manifest.parquet": manifest()["manifest.parquet"]}, read_and_check),
            ("identity index", index, lambda place: _index(place / "i.parquet")),
        ],
        "tar": [("webdataset", webdataset, lambda place: import_images("webdataset", place, place / "out"))],
        "results": [("table", lambda: {"results.json": results()}, _table)],
    }
    return {
        kind: [Target(f"{kind}: {name}", files, read, ()) for name, files, read in readers]
        for kind, readers in every.items()
    }


def _index(path: Path) -> None:
    from attribute_models.identity.index import IdentityIndex

    IdentityIndex.load(path)


# --- damage to pickles, and to what zips hold ---


def pickle_damage(data: bytes, rng: random.Random) -> bytes:
    """Instructions of a pickle dropped, doubled, moved, or put in from elsewhere."""
    places = [at for _, _, at in pickletools.genops(data)] + [len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(pieces))
        how = rng.randrange(4)
        if how == 0:
            del pieces[at]
        elif how == 1:
            pieces.insert(at, pieces[rng.randrange(len(pieces))])
        elif how == 2:
            pieces[at] = pieces[rng.randrange(len(pieces))]
        else:
            pieces.insert(at, rng.choice(ODD))
        if not pieces:
            break
    return b"".join(pieces)


ODD = (
    pickle.EMPTY_TUPLE,
    pickle.TUPLE1 * 5,
    pickle.DUP,
    pickle.POP,
    pickle.MARK,
    pickle.REDUCE,
    pickle.BUILD,
    pickle.NEWOBJ,
    pickle.BINGET + b"\0",
    pickle.LONG_BINPUT + b"\xff\xff\xff\xff",
    pickle.BINBYTES8 + b"\0\0\0\0\0\1\0\0",
    pickle.LONG4 + b"\xff\xff\xff\x7f",
    pickle.SETITEM,
    pickle.APPEND,
    pickle.ADDITEMS,
    pickle.FROZENSET,
    pickle.EMPTY_SET,
    b"\x86q\xfeh\xfeh\xfe" * 40,
    pickle.BINPERSID,
    pickle.STOP,
    b"cos\nsystem\n",
    b"K\x05",
    b"]q\xf0h\xf0a",
)


def zip_damage(data: bytes, rng: random.Random) -> bytes:
    """A member's content, name, method, size or flags changed; or the pickle in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
        at = rng.randrange(len(members))
        how = rng.randrange(6)
        for number, (name, content) in enumerate(members):
            if name.endswith("data.pkl") and how < 3:
                content = pickle_damage(content, rng)
            elif number == at and how == 3:
                content = content[: len(content) // 2]
            elif number == at and how == 4:
                name = rng.choice(("../x.png", "/abs.png", "a//b.png", "data.pkl", "x" * 300))
            new.writestr(
                name, content, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            )
    made = bytearray(out.getvalue())
    if how == 5:  # of one member's entry in the directory: flags, method, or size
        entry = made.rfind(b"PK\1\2")
        made[entry + rng.choice((8, 10, 20, 24))] ^= rng.randint(1, 255)
    return bytes(made)


def damaged(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """The files with one to three kinds of damage: to their structure where there is a way, else to bytes."""
    name = rng.choice(sorted(files))
    data, structured = files[name], rng.random() < 0.5
    if structured and name.endswith(".pkl"):
        return {**files, name: pickle_damage(data, rng)}
    if structured and data[:4] == b"PK\3\4":
        return {**files, name: zip_damage(data, rng)}
    numbers = [tuple(rng.randrange(65536) for _ in range(3)) for _ in range(rng.randint(1, 3))]
    return mutated(files, numbers)
