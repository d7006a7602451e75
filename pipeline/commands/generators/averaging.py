"""`fairforge generators average`: the mean of several stages of one training, as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests.atomic import canonical_json, digest_file
from manifests.errors import UsageError

KEPT = ("data", "data_sha256", "images", "balance", "licence")
"""Of the last file's header, which is what the mean learned from last."""


def average_generators(names: Sequence[str], out: Path, *, half: bool = False) -> tuple[dict[str, Any], str]:
    """Write the mean of generators' weights.

    Args:
        names: names of the catalogue, files, or folders of training runs.
        out: the file, `.safetensors`.
        half: large tensors in float16.

    Returns:
        Digest, sizes and, with `half`, the mean change of a picture (of 255); and the same as text.

    Raises:
        UsageError: generators of different sizes, or another ending of `out`. MissingError, DataError: as
            `load_generator`. PartialError: the disk is full.
    """
    from generators.averaging import mean_generator, stored_in_half
    from generators.checkpoints.files import load_checkpoint, save_checkpoint
    from generators.checkpoints.library import checkpoint_of, load_generator
    from manifests.weights import find_weight

    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}", "is no .safetensors file", "give it that ending")
    places = [checkpoint_of(name) for name in names]
    generators = [load_generator(place, device="cpu") for place in places]
    last = find_weight(places[-1], "generator").path
    header = load_checkpoint(last)[2] if last.suffix == ".safetensors" else {}
    mean = mean_generator(generators)
    facts: dict[str, Any] = {"average_of": [generator.sha256 for generator in generators]}
    state = mean.state_dict()
    change = None
    if half:
        state, change = stored_in_half(mean)
        facts["half_precision_change"] = float(f"{change:.2g}")
    kept = {name: header[name] for name in KEPT if name in header}
    texts = {
        name: value if isinstance(value, str) else canonical_json(value) for name, value in facts.items()
    }
    save_checkpoint(out, mean.config, state, {**kept, **texts})
    value = {"file": str(out), "sha256": digest_file(out), "bytes": out.stat().st_size, **facts}
    text = f"{out}: the mean of {len(names)}, {value['bytes'] / 1e6:.1f} MB, sha256 {value['sha256'][:12]}"
    if change is not None:
        text += f"; half precision changes a picture by {change:.2g} of 255 on average"
    return value, text
