"""`fairforge weights list | verify | import`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from manifests.atomic import digest_file, write_text
from manifests.errors import MissingError, UsageError, UserError
from manifests.weights import catalogue, find_weight, user_folder


def list_weights() -> tuple[list[dict[str, Any]], str]:
    """Every catalogued weight, as values and as text."""
    values = [
        {"name": w.name, "kind": w.kind, "licence": w.licence, "data": w.data, "sha256": w.sha256,
         "measured": dict(w.measured), "recipe": w.recipe}
        for w in catalogue().values()
    ]
    lines = [f"{v['name']:<20} {v['kind']:<11} {v['licence']:<14} {v['data']}" for v in values]
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
    lines = [f"{'ok     ' if v['ok'] else 'BROKEN '} {v['name']:<20} {v['found']}" for v in values]
    return values, "\n".join(lines), all(v["ok"] for v in values)


def import_weight(file: Path, name: str, licence: str) -> tuple[dict[str, Any], str]:
    """Convert a generator checkpoint to safetensors in the user's weight folder and record it.

    Raises:
        MissingError: no such file. UsageError: the name is taken. DataError: the file is not a generator checkpoint.
    """
    from generators import load_generator
    from generators.checkpoints import save_generator

    if not file.is_file():
        raise MissingError(str(file), "is not there", "give the path of a .pkl or .safetensors file")
    if name in catalogue():
        raise UsageError(f"weight {name!r}", "is known already", "choose another --name")
    model = load_generator(str(file))
    target = user_folder() / f"{name}.safetensors"
    save_generator(target, model)
    entry = {
        "file": target.name, "sha256": digest_file(target), "kind": "generator", "licence": licence,
        "data": f"imported from {file.name} (sha256 {digest_file(file)[:12]})", "recipe": "import it again",
    }
    toml = user_folder() / "weights.toml"
    known = tomllib.loads(toml.read_text(encoding="utf-8")) if toml.is_file() else {}
    write_text(toml, tomli_w.dumps({**known, name: entry}))
    return {"name": name, **entry}, f"{name}: {model.resolution} px, {target}"
