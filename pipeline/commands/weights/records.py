"""`fairforge weights list | verify | import`; `weights embed` is in `pipeline.commands.weights.embedding`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from manifests.atomic import digest_file, drop_temporaries, write_bytes, write_text
from manifests.containment import bad_name
from manifests.errors import MissingError, UsageError, UserError
from manifests.escaping import one_line
from manifests.locks import in_turn
from manifests.registry import nearest
from manifests.text_files import read_toml
from manifests.weights import CATALOGUE, catalogue, find_weight, user_folder

IMPORTED = ["generator", "backbone", "cells"]


def list_weights() -> tuple[list[dict[str, Any]], str]:
    """Every catalogued weight, as values and as text."""
    values = [
        {
            "name": w.name,
            "kind": w.kind,
            "licence": w.licence,
            "data": w.data,
            "sha256": w.sha256,
            "measured": dict(w.measured),
            "recipe": w.recipe,
        }
        for w in catalogue().values()
    ]
    lines = [one_line(f"{v['name']:<20} {v['kind']:<11} {v['licence']:<14} {v['data']}") for v in values]
    return values, "\n".join(lines)


def verify_weights() -> tuple[list[dict[str, Any]], str, bool]:
    """Whether each weight's file is there with the catalogued digest."""
    values = []
    for name, weight in catalogue().items():
        try:
            find_weight(name, weight.kind)
        except UserError as error:
            values.append({"name": name, "ok": False, "found": str(error)})
        else:
            values.append({"name": name, "ok": True, "found": f"sha256 {weight.sha256[:12]}"})
    lines = [one_line(f"{'ok     ' if v['ok'] else 'BROKEN '} {v['name']:<20} {v['found']}") for v in values]
    return values, "\n".join(lines), all(v["ok"] for v in values)


def check_name(name: str) -> None:
    """Whether a weight can be called so.

    Raises:
        UsageError: it is no file's name.
    """
    if bad_name(name):
        raise UsageError(f"--name {name!r}", "is not a file's name", "choose one without / and the like")


def _check_new(name: str) -> None:
    if name in catalogue():
        raise UsageError(f"weight {name!r}", "is known already", "choose another --name")


def import_weight(file: Path, name: str, licence: str, kind: str = "generator") -> tuple[dict[str, Any], str]:
    """Convert a checkpoint to safetensors in the user's weight folder and record it.

    Args:
        file: a generator (an official `.pkl`, a stylegan2-pytorch `.pt` or `.pth`, or a `.safetensors` of
            ours), a backbone's state dict (`.safetensors`, `.pth`, `.pt`), or a run's fitted cells
            (`cells/model.safetensors`). name: its name in the
            catalogue. licence: written into the catalogue, and into the header but of cells. kind:
            `generator`, `backbone` or `cells`.

    Raises:
        MissingError: no such file. DataError: the file is not a checkpoint of that kind.
        UsageError: the name is taken or no file's name; another kind.
    """
    if kind not in IMPORTED:
        raise UsageError(
            f"--kind {kind!r}",
            f"cannot be imported{nearest(kind, IMPORTED)}",
            f"choose one of: {', '.join(IMPORTED)}",
        )
    check_name(name)
    if not file.is_file():
        raise MissingError(str(file), "is not there", "give the path of a .pkl, .pt or .safetensors file")
    _check_new(name)
    if kind == "backbone":
        return _import_backbone(file, name, licence)
    if kind == "cells":
        return _import_cells(file, name, licence)
    from generators import load_generator
    from generators.checkpoints.files import save_generator

    model = load_generator(str(file), device="cpu")
    target = user_folder() / f"{name}.safetensors"
    origin = f"imported from {file.name} (sha256 {digest_file(file)[:12]})"
    data = ". ".join([origin, *model.notes])
    entry = _record(
        name, kind, licence, data, lambda: save_generator(target, model, {"licence": licence, "data": data})
    )
    text = "\n".join([f"{name}: {model.resolution} px, {target}", *model.notes])
    return {"name": name, **entry, "notes": list(model.notes)}, text


def record(
    target: Path, entry: Mapping[str, Any], check: Callable[[], object], write: Callable[[], object]
) -> dict[str, Any]:
    """Write a weight's file and its entry in the catalogue of its folder, one process after another.

    Args:
        target: the file, NAME.safetensors; an entry of that name is replaced.
        entry: what the catalogue says of it beside the file's name and digest.
        check: asked once it is this process's turn; raises where the name has been taken meanwhile.
        write: writes the file.

    Raises:
        What `check` and `write` raise. UsageError: the folder cannot be written. PartialError: the disk is
        full.
    """
    toml = target.parent / CATALOGUE
    with in_turn(target.parent / ".lock"):
        drop_temporaries(target.parent)
        check()
        write()
        whole = {"file": target.name, "sha256": digest_file(target), **entry}
        known = read_toml(toml) if toml.is_file() else {}
        write_text(toml, tomli_w.dumps({**known, target.stem: whole}))
    return whole


def _record(name: str, kind: str, licence: str, data: str, write: Callable[[], object]) -> dict[str, Any]:
    """Write an imported weight's file and its entry in the user's catalogue.

    Raises:
        UsageError: another import has taken the name meanwhile.
    """
    entry = {"kind": kind, "licence": licence, "data": data, "recipe": "import it again"}
    return record(user_folder() / f"{name}.safetensors", entry, lambda: _check_new(name), write)


def _import_backbone(file: Path, name: str, licence: str) -> tuple[dict[str, Any], str]:
    """The tensors of a state dict as safetensors; whether they fit a backbone is seen when a training starts
    from them.
    """
    from detector.models.starting_weights import read_weights
    from nn.safetensors_files import tensor_bytes

    tensors = {key: value.contiguous().clone() for key, value in read_weights(file).items()}
    data = f"imported from {file.name} (sha256 {digest_file(file)[:12]})"
    target = user_folder() / f"{name}.safetensors"
    content = tensor_bytes(tensors, {"licence": licence, "data": data})
    entry = _record(name, "backbone", licence, data, lambda: write_bytes(target, content))
    return {"name": name, **entry}, f"{name}: {len(tensors)} tensors, {target}"


def _import_cells(file: Path, name: str, licence: str) -> tuple[dict[str, Any], str]:
    """A fitted cell model as it is; its header says to which generator and attribute model it belongs."""
    from generators.cells import CellModel

    cells = CellModel.load(file)
    known = {weight.sha256: weight.name for weight in catalogue("generator").values()}
    fitted_to = known.get(cells.generator_sha256, f"sha256 {cells.generator_sha256[:12]}")
    data = f"cells of {cells.taxonomy}, fitted to the generator {fitted_to}"
    target = user_folder() / f"{name}.safetensors"
    entry = _record(name, "cells", licence, data, lambda: cells.save(target))
    return {"name": name, **entry}, f"{name}: {len(cells.cells)} {data}, {target}"
