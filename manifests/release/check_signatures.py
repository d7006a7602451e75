"""Are the images of a signed release signed, by one signer, as what they are?

Whether one trusts the signer is the reader's to say.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.clip_columns import image_rows
from manifests.containment import inside
from manifests.errors import UserError
from manifests.images import read_bytes
from manifests.release.signing import SETTINGS, SOURCES, media_of, source_of
from manifests.schema import Finding, with_later_columns
from manifests.store import read_table
from manifests.watching import watched

MESSAGES = {
    "not-signed": "an image is not signed, and the release says that it is",
    "bad-signature": "a signature does not fit its image",
    "other-signer": "an image is signed by another than release.json names",
    "wrong-source": "a signature says another source than the manifest, or another parent",
    "thumbnail": "a signature holds a thumbnail",
    "signed-unsaid": "an image is signed, and the release does not say so: marking some images is a shortcut",
}
MARKS = (b"jumb", b"C2PA", b"caBX")
"""What every file with a C2PA manifest has one of."""


def signatures_reason() -> str | None:
    """Why signatures cannot be checked here, and what to install; None where they can."""
    return (
        None
        if importlib.util.find_spec("c2pa")
        else "c2pa-python is not installed; pip install 'fairforge[sign]'"
    )


def check_signatures(folder: Path, signed: Mapping[str, str] | None) -> list[Finding]:
    """Findings about the signatures of a release whose manifest and pictures are well; `ids` are image_ids.

    Args:
        folder: of the release.
        signed: what `release.json` says of the signer; None for a release that is not signed: then no image
            may be.
    """
    rows = (
        image_rows(with_later_columns(read_table(folder / "manifest.parquet")))
        .drop_columns(["landmarks"])
        .to_pylist()
    )
    bad: dict[str, list[str]] = defaultdict(list)
    if signed is not None and signatures_reason() is not None:
        return [
            Finding(
                "signatures",
                f"the release is signed, and its signatures were not checked: {signatures_reason()}",
            )
        ]
    for row in watched(rows, "checking signatures", "images"):
        data = read_bytes(inside(folder, row["path"]), row["sha256"])
        code = (
            _fault(data, row, signed)
            if signed is not None
            else "signed-unsaid"
            if any(map(data.__contains__, MARKS))
            else None
        )
        if code is not None:
            bad[code].append(row["image_id"])
    return [
        Finding(code, message, len(bad[code]), tuple(bad[code][:5]))
        for code, message in MESSAGES.items()
        if bad[code]
    ]


def _fault(data: bytes, row: Mapping[str, Any], signed: Mapping[str, str]) -> str | None:
    """What is wrong with one image's signature; None where nothing is."""
    import c2pa

    try:
        context = c2pa.Context(c2pa.Settings.from_dict(SETTINGS))
        with c2pa.Reader(media_of(row["path"]), io.BytesIO(data), context=context) as reader:
            store, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError as error:
        return "not-signed" if "ManifestNotFound" in type(error).__name__ else "bad-signature"
    if state not in ("Valid", "Trusted"):
        return "bad-signature"
    manifest = store["manifests"][store["active_manifest"]]
    if str(manifest.get("signature_info", {}).get("cert_serial_number")) != signed.get("serial"):
        return "other-signer"
    if any("thumbnail" in one for one in (manifest, *manifest.get("ingredients", []))):
        return "thumbnail"
    return None if _says(manifest) == _should_say(row) else "wrong-source"


def _says(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """Title, source types and parents that a manifest names."""
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    sources = [action["digitalSourceType"] for action in actions if "digitalSourceType" in action]
    parents = [
        one.get("title") for one in manifest.get("ingredients", []) if one.get("relationship") == "parentOf"
    ]
    return manifest.get("title"), sources, parents


def _should_say(row: Mapping[str, Any]) -> tuple[Any, ...]:
    try:
        source, parent = source_of(row)
    except UserError:
        return ()
    return row["image_id"], [SOURCES + source], [parent] if parent is not None else []
