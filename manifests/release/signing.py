"""Signs the images of a release with the giver's certificate (C2PA, by `c2pa-python`), real and fake alike,
as the last step.

What a manifest says: a generated face is `trainedAlgorithmicMedia`; a fake of it `compositeSynthetic`, a fake
of a photograph `compositeWithTrainedAlgorithmicMedia`, each with its target as parent; a photograph
`digitalCapture`. There are no thumbnails and no time stamps (nothing is fetched), and an assertion of zeros
makes every signature add the same number of bytes: without it a fake, whose manifest names a parent, would be
told by its size. The parent is the target as it was before it was signed, so that no manifest holds another.
Signed pixels are those of the unsigned file.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manifests.atomic import digest_bytes, write_bytes
from manifests.clip_columns import clip_rows
from manifests.columns import with_values
from manifests.containment import inside
from manifests.errors import DataError, MissingError, UsageError
from manifests.release.exporting import image_bytes
from manifests.schema import PHOTOGRAPH, SYNTHETIC, with_later_columns
from manifests.watching import watched

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PADDING = "org.fairforge.padding"
LEAST = 300
"""Zeros in every manifest: with fewer, the header of their length would change its own length."""
FORMATS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""Media types by the endings of what can be signed."""
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_trust": False, "remote_manifest_fetch": False},
}
ALGORITHMS = {
    "secp256r1": "es256",
    "secp384r1": "es384",
    "secp521r1": "es512",
    "rsa": "ps256",
    "ed25519": "ed25519",
}


@dataclass(frozen=True)
class Credentials:
    """A certificate chain and its key, PEM. algorithm: as C2PA names it. facts: of the certificate, for
    `release.json`.
    """

    chain: bytes
    key: bytes
    algorithm: str
    facts: Mapping[str, str]


def need_c2pa() -> None:
    """Raises MissingError where `c2pa-python` is not installed."""
    if importlib.util.find_spec("c2pa") is None:
        raise MissingError(
            "c2pa-python", "is not installed, and signatures need it", "pip install 'fairforge[sign]'"
        )


def _pem(path: Path, what: str) -> bytes:
    if not path.is_file():
        raise MissingError(str(path), f"is not there, and is to be the {what}", "give the path of a PEM file")
    data = path.read_bytes()
    if len(data) > 1 << 20:
        raise DataError(str(path), f"has {len(data)} bytes: it is no {what}", "give the path of a PEM file")
    return data


def _algorithm(key: Any, where: Path) -> str:
    curve = getattr(getattr(key, "curve", None), "name", None)
    kind = curve or type(key).__name__.lstrip("_").removesuffix("PrivateKey").lower()
    if kind not in ALGORITHMS:
        raise UsageError(
            str(where), f"is a {kind} key, which C2PA has no use for", f"use one of: {', '.join(ALGORITHMS)}"
        )
    return ALGORITHMS[kind]


def _certificates(chain: bytes, where: Path) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(chain)
    except ValueError as error:
        raise DataError(
            str(where),
            f"is no certificate in PEM ({error})",
            "give the signer's certificate, then its issuers'",
        ) from error


def read_credentials(certificate: Path, key: Path) -> Credentials:
    """The certificate chain and the key of a signer.

    Args:
        certificate: PEM; the signer's first, then its issuers'.
        key: PEM, without a password.

    Raises:
        MissingError: a file is not there, or `c2pa-python` is not installed. DataError: one is not what it
            should be, or they are no pair. UsageError: a kind of key that C2PA does not know.
    """
    need_c2pa()
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    chain, secret = _pem(certificate, "certificate"), _pem(key, "key")
    leaf = _certificates(chain, certificate)[0]
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise DataError(
            str(key), f"is no private key in PEM without a password ({error})", "write it without one first"
        ) from error
    if private.public_key() != leaf.public_key():
        raise DataError(
            str(key), f"is not the key of {certificate}", "give the key that the certificate was made for"
        )
    algorithm = _algorithm(private, key)
    return Credentials(
        chain,
        secret,
        algorithm,
        {
            "algorithm": algorithm,
            "subject": leaf.subject.rfc4514_string(),
            "serial": str(leaf.serial_number),
            "certificate_sha256": leaf.fingerprint(hashes.SHA256()).hex(),
        },
    )


def source_of(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """The IPTC digital source type of an image, and the image_id of its parent; None where it has none.

    Raises:
        DataError: its origin is not known.
    """
    if row["label"] == 1 and row["family"] == "synthesis":
        return "trainedAlgorithmicMedia", None
    if row["origin"] not in (PHOTOGRAPH, SYNTHETIC):
        raise DataError(
            f"image {row['image_id']}",
            "has no known origin, and a signature must say one",
            "say in the column `origin` whether it is a photograph or synthetic",
        )
    if row["label"] == 0:
        return ("digitalCapture" if row["origin"] == PHOTOGRAPH else "trainedAlgorithmicMedia"), None
    kind = "compositeWithTrainedAlgorithmicMedia" if row["origin"] == PHOTOGRAPH else "compositeSynthetic"
    return kind, row["target_id"]


def manifest_of(row: Mapping[str, Any], media: str, zeros: int) -> dict[str, Any]:
    """The C2PA manifest of an image, without its parent. zeros: characters of the padding."""
    source, parent = source_of(row)
    actions: list[dict[str, Any]] = [{"action": "c2pa.created", "digitalSourceType": SOURCES + source}]
    if parent is not None:
        actions = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}},
            {"action": "c2pa.edited", "digitalSourceType": SOURCES + source},
        ]
    return {
        "claim_generator_info": [{"name": "fairforge", "version": metadata.version("fairforge")}],
        "format": media,
        "title": row["image_id"],
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": actions}},
            {"label": PADDING, "data": {"pad": "0" * zeros}},
        ],
    }


class Signer:
    """Signs images with one certificate.

    Raises:
        DataError: C2PA has no use for the certificate, with its own words.
    """

    def __init__(self, credentials: Credentials) -> None:
        import c2pa

        self._context = c2pa.Context(c2pa.Settings.from_dict(SETTINGS))
        info = c2pa.C2paSignerInfo(credentials.algorithm, credentials.chain, credentials.key, None)
        try:
            self._signer = c2pa.Signer.from_info(info)
        except c2pa.C2paError as error:
            raise DataError(
                "the certificate",
                f"cannot sign ({str(error)[:300]})",
                "C2PA wants one for document signing or e-mail protection, with its issuers below it",
            ) from error

    def sign(self, data: bytes, row: Mapping[str, Any], parent: bytes | None, zeros: int = LEAST) -> bytes:
        """The signed file of an image.

        Args:
            data: the file, unsigned.
            row: of the manifest.
            parent: the target's file, unsigned; None where the row has no parent.
            zeros: of the padding, at least `LEAST`.

        Raises:
            DataError: C2PA cannot sign it; its own words are in the message. UsageError: of a format that is
                not signed.
        """
        import c2pa

        media = media_of(row["path"])
        out = io.BytesIO()
        try:
            with c2pa.Builder(manifest_of(row, media, zeros), self._context) as builder:
                if parent is not None:
                    ingredient = {"title": row["target_id"], "relationship": "parentOf", "label": "parent"}
                    builder.add_ingredient(ingredient, media, io.BytesIO(parent))
                builder.sign(self._signer, media, io.BytesIO(data), out)
        except c2pa.C2paError as error:
            raise DataError(
                f"image {row['image_id']}",
                f"cannot be signed ({str(error)[:300]})",
                "check the certificate: C2PA wants one for document signing or e-mail protection",
            ) from error
        return out.getvalue()


def media_of(path: str) -> str:
    """The media type of a file that can be signed.

    Raises:
        UsageError: of a format that is not signed.
    """
    ending = PurePosixPath(path).suffix.lower()
    if ending not in FORMATS:
        raise UsageError(
            path,
            f"is of a format that is not signed ({ending or 'no ending'})",
            f"give one of: {', '.join(FORMATS)}",
        )
    return FORMATS[ending]


def sign_images(
    folder: Path,
    table: pa.Table,
    original: Path,
    paths: Mapping[str, str],
    credentials: Credentials,
) -> pa.Table:
    """Sign every image below `folder` in place; the manifest with the digests of the signed files.

    Args:
        folder: of the release.
        table: its manifest.
        original: folder of the dataset, whose files are not signed.
        paths: path of each image below `original`, by image_id.
        credentials: of the signer.

    Raises:
        UsageError: there are clips, or an image of a format that is not signed. DataError: an origin is not
            known, or a file cannot be signed.
    """
    if clip_rows(table).num_rows:
        raise UsageError("clips", "are not signed by this program", "release them without a signature")
    signer = Signer(credentials)
    rows = with_later_columns(table).drop_columns(["landmarks"]).to_pylist()
    sha256 = {row["image_id"]: row["sha256"] for row in rows}

    def unsigned(image_id: str | None) -> bytes | None:
        return None if image_id is None else image_bytes(original, paths[image_id], sha256[image_id])

    parts = [(row, source_of(row)[1]) for row in rows]
    added: dict[tuple[Any, ...], int] = {}
    for (
        row,
        parent,
    ) in parts:  # how much a signature adds depends on what the manifest says, not on the picture
        if (kind := _kind(row, parent)) not in added:
            data = unsigned(row["image_id"]) or b""
            added[kind] = len(signer.sign(data, row, unsigned(parent))) - len(data)
    most = max(added.values(), default=0)
    digests = []
    for row, parent in watched(parts, "signing", "images"):
        data = unsigned(row["image_id"]) or b""
        signed = signer.sign(data, row, unsigned(parent), LEAST + most - added[_kind(row, parent)])
        if len(signed) - len(data) != most:
            raise DataError(
                f"image {row['image_id']}",
                f"grew by {len(signed) - len(data)} bytes, others by {most}",
                "this is a defect: please report it",
            )
        write_bytes(inside(folder, row["path"]), signed)
        digests.append(digest_bytes(signed))
    return with_values(table, "sha256", digests)


def _kind(row: Mapping[str, Any], parent: str | None) -> tuple[Any, ...]:
    """What decides how many bytes a signature adds."""
    names = (row["image_id"], parent or "")
    return (source_of(row)[0], media_of(row["path"]), *(len(name.encode()) for name in names))
