"""Signed releases: every image, real and fake alike; checked; told from nothing by its signature."""

import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from manifests.atomic import digest_bytes
from manifests.audit.features import FILE_FEATURES, feature_matrix
from manifests.audit.shortcut import out_of_fold
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import read_image
from manifests.release import build_release, check_release
from manifests.release.signing import SETTINGS, SOURCES, Signer, media_of, read_credentials
from manifests.store import read_manifest, write_manifest
from tests.manifests.release_fixture import INFO, bytes_below, edit_json, edit_rows, make_dataset, resum

c2pa = pytest.importorskip("c2pa")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    """A drawn set whose men are photographs, and whose women are synthetic."""
    folder = tmp_path_factory.mktemp("signed-set")
    make_dataset(folder)
    return with_origins(folder, lambda row: "photograph" if row["gender"] == "Male" else "synthetic")


def with_origins(folder, origin):
    table = read_manifest(folder / "manifest.parquet")
    rows = [{**row, "origin": origin(row)} for row in table.to_pylist()]
    write_manifest(pa.Table.from_pylist(rows, schema=table.schema), folder / "manifest.parquet")
    return folder


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    from tests.manifests.certificates import write_credentials

    return read_credentials(*write_credentials(tmp_path_factory.mktemp("certificate")))


@pytest.fixture(scope="module")
def whole(origins, credentials, tmp_path_factory):
    return build_release(origins, tmp_path_factory.mktemp("signed") / "r", INFO, credentials=credentials).path


@pytest.fixture
def signed(whole, tmp_path):
    """A signed release to spoil."""
    return shutil.copytree(whole, tmp_path / "signed")


def said(path):
    """What the active manifest of a file says, and whether it holds."""
    context = c2pa.Context(c2pa.Settings.from_dict(SETTINGS))
    with c2pa.Reader(media_of(path.name), io.BytesIO(path.read_bytes()), context=context) as reader:
        store = json.loads(reader.json())
        return store["manifests"][store["active_manifest"]], reader.get_validation_state()


def codes(folder):
    return {finding.code for finding in check_release(folder)}


def test_every_image_is_signed_as_what_it_is_and_keeps_its_pixels(origins, whole):
    before = {row["image_id"]: row for row in read_manifest(origins).to_pylist()}
    kinds = {
        ("photograph", 0): "digitalCapture",
        ("synthetic", 0): "trainedAlgorithmicMedia",
        ("photograph", 1): "compositeWithTrainedAlgorithmicMedia",
        ("synthetic", 1): "compositeSynthetic",
    }
    seen = set()
    for row in read_manifest(whole).to_pylist():
        manifest, state = said(whole / row["path"])
        assert state == "Valid"
        (actions,) = [
            one["data"]["actions"]
            for one in manifest["assertions"]
            if one["label"].startswith("c2pa.actions")
        ]
        assert actions[-1]["digitalSourceType"] == SOURCES + kinds[row["origin"], row["label"]]
        parents = [
            one["title"] for one in manifest.get("ingredients", []) if one["relationship"] == "parentOf"
        ]
        assert parents == ([row["target_id"]] if row["label"] else [])
        assert "thumbnail" not in json.dumps(manifest)
        assert np.array_equal(
            read_image(whole / row["path"]), read_image(origins / before[row["image_id"]]["path"])
        )
        assert (
            row["sha256"]
            == digest_bytes((whole / row["path"]).read_bytes())
            != before[row["image_id"]]["sha256"]
        )
        seen.add((row["origin"], row["label"]))
    assert seen == set(kinds)
    facts = json.loads((whole / "release.json").read_text())["signed"]
    assert (facts["algorithm"], facts["serial"]) == ("es256", "7")
    assert "CN=signer" in facts["subject"]
    assert check_release(whole) == []


def test_a_signature_adds_the_same_bytes_to_every_file_and_nothing_that_a_feature_sees(origins, whole):
    before = {row["image_id"]: origins / row["path"] for row in read_manifest(origins).to_pylist()}
    after = {row["image_id"]: whole / row["path"] for row in read_manifest(whole).to_pylist()}
    difference = feature_matrix(list(after.values())) - feature_matrix([before[name] for name in after])
    assert len(np.unique(difference[:, 0])) == 1
    assert difference[0, 0] > 3000
    assert FILE_FEATURES[0] == "bytes"
    assert not difference[:, 1:].any()


def test_the_shortcut_audit_finds_no_more_in_signed_files_and_finds_a_signature_of_one_class(
    tmp_path, credentials
):
    """Signed as a release does it: the audit's figures stay. Without the padding, or with fakes alone signed:
    found.
    """
    from manifests.audit import audit_manifest
    from tests.manifests.manifest_rows import drawn_set

    drawn_set(tmp_path / "m", per_cell=2, size=16, methods={"none": "none", "swap-a": "swap"})
    with_origins(tmp_path / "m", lambda row: "synthetic")

    def auc(folder):
        """Of the audit's own judges on all file features; the better one counts."""
        found = read_manifest(folder / "manifest.parquet").to_pylist()
        x = feature_matrix([folder / row["path"] for row in found])[:, : len(FILE_FEATURES)]
        y = np.array([row["label"] for row in found])
        pairs = np.unique([row["pair_id"] for row in found], return_inverse=True)[1]
        return max(roc_auc_score(y, score) for score in out_of_fold(x, y, pairs, 2, 0))

    release = build_release(tmp_path / "m", tmp_path / "r", INFO, credentials=credentials).path
    plain, now = auc(tmp_path / "m"), auc(release)
    assert now == pytest.approx(plain, abs=0.02)
    assert plain < 0.75
    assert audit_manifest(
        release, ["shortcut"], {"shortcut": {"folds": 2, "replicates": 20, "max_images": 100}}, 0
    )["passed"]
    signer, rows = Signer(credentials), read_manifest(tmp_path / "m").to_pylist()
    files = {row["image_id"]: (tmp_path / "m" / row["path"]).read_bytes() for row in rows}
    for name, chosen in (("fakes alone", lambda row: row["label"] == 1), ("no padding", lambda row: True)):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "m", folder)
        changed = []
        for row in rows:
            if chosen(row):
                data = signer.sign(
                    files[row["image_id"]], row, files[row["target_id"]] if row["label"] else None
                )
                (folder / row["path"]).write_bytes(data)
                row = {**row, "sha256": digest_bytes(data)}
            changed.append(row)
        table = read_manifest(tmp_path / "m" / "manifest.parquet")
        write_manifest(pa.Table.from_pylist(changed, schema=table.schema), folder / "manifest.parquet")
        assert auc(folder) > 0.9, name


def image(folder, label):
    return next(
        row for row in read_manifest(folder / "manifest.parquet").to_pylist() if row["label"] == label
    )


def replaced(folder, row, data):
    """Another file in an image's place, with its digest everywhere; the release still says who signed."""
    (folder / row["path"]).write_bytes(data)
    signed = json.loads((folder / "release.json").read_text())["signed"]

    def change(rows):
        next(one for one in rows if one["image_id"] == row["image_id"])["sha256"] = digest_bytes(data)

    edit_rows(folder, change)
    edit_json(folder, "release.json", lambda facts: facts.update(signed=signed))


def test_an_image_without_a_signature_is_named(origins, signed):
    row = image(signed, 0)
    unsigned = next(one for one in read_manifest(origins).to_pylist() if one["image_id"] == row["image_id"])
    replaced(signed, row, (origins / unsigned["path"]).read_bytes())
    (finding,) = check_release(signed)
    assert (finding.code, finding.ids) == ("not-signed", (row["image_id"],))


def test_a_signature_that_does_not_fit_its_image_is_named(signed):
    row = image(signed, 1)
    data = bytearray((signed / row["path"]).read_bytes())
    at = data.index(b"urn:c2pa:") + 12
    data[at] ^= 1
    replaced(signed, row, bytes(data))
    assert codes(signed) <= {"bad-signature", "unreadable-image"}
    assert codes(signed)


def test_another_signer_is_named(origins, signed, tmp_path):
    from tests.manifests.certificates import write_credentials

    other = Signer(read_credentials(*write_credentials(tmp_path / "other", serial=8)))
    row = image(signed, 0)
    unsigned = next(one for one in read_manifest(origins).to_pylist() if one["image_id"] == row["image_id"])
    data = other.sign((origins / unsigned["path"]).read_bytes(), {**row, "path": unsigned["path"]}, None)
    replaced(signed, row, data)
    assert codes(signed) == {"other-signer"}


def test_another_source_than_the_rows_is_named(signed):
    def change(rows):
        row = next(row for row in rows if row["label"] == 0 and row["origin"] == "synthetic")
        row["origin"] = "photograph"

    facts = json.loads((signed / "release.json").read_text())["signed"]
    edit_rows(signed, change)
    edit_json(signed, "release.json", lambda data: data.update(signed=facts))
    assert "wrong-source" in codes(signed)


def test_a_signed_image_in_a_release_that_says_nothing_of_it_is_named(signed):
    edit_json(signed, "release.json", lambda data: data.update(signed=None))
    resum(signed)
    (finding,) = check_release(signed)
    assert (finding.code, finding.count) == ("signed-unsaid", 48)


def test_without_the_library_a_signed_release_is_not_called_whole(whole, monkeypatch):
    from manifests.release import check_signatures

    monkeypatch.setattr(check_signatures, "signatures_reason", lambda: "c2pa-python is not installed")
    (finding,) = check_release(whole)
    assert finding.code == "signatures"
    assert "not installed" in finding.message


@pytest.mark.parametrize("kind", ["es384", "ps256", "ed25519"])
def test_other_kinds_of_keys(origins, tmp_path, kind):
    from tests.manifests.certificates import write_credentials

    made = read_credentials(*write_credentials(tmp_path, kind))
    assert made.algorithm == kind
    row = {**image(origins, 0)}
    signed = Signer(made).sign((origins / row["path"]).read_bytes(), row, None)
    (tmp_path / f"x{row['path'][-4:]}").write_bytes(signed)
    assert said(tmp_path / f"x{row['path'][-4:]}")[1] == "Valid"


def test_what_cannot_sign_is_said_with_words(origins, tmp_path):
    from tests.manifests.certificates import write_credentials

    certificate, key = write_credentials(tmp_path / "a")
    _, other = write_credentials(tmp_path / "b")
    with pytest.raises(MissingError, match="is not there"):
        read_credentials(tmp_path / "none.pem", key)
    with pytest.raises(DataError, match="is not the key of"):
        read_credentials(certificate, other)
    with pytest.raises(DataError, match="no certificate in PEM"):
        read_credentials(key, key)
    with pytest.raises(DataError, match="no private key"):
        read_credentials(certificate, certificate)
    issuer = (
        certificate.read_bytes().split(b"-----END CERTIFICATE-----\n")[1] + b"-----END CERTIFICATE-----\n"
    )
    (tmp_path / "issuer.pem").write_bytes(issuer)
    with pytest.raises(DataError, match="is not the key of"):
        read_credentials(tmp_path / "issuer.pem", key)


def test_an_image_of_unknown_origin_is_not_signed_and_nothing_half_is_left(dataset, credentials, tmp_path):
    with pytest.raises(DataError, match="no known origin"):
        build_release(dataset, tmp_path / "r", INFO, credentials=credentials)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_is_not_signed_is_refused():
    with pytest.raises(UsageError, match="not signed"):
        media_of("a.bmp")


def test_an_unsigned_release_holds_no_signature(finished):
    assert not [name for name, data in bytes_below(finished).items() if b"jumb" in data]


def test_a_thumbnail_in_a_signature_is_named(origins, signed, tmp_path, monkeypatch):
    """One is made by the library where it is not told not to: a picture in the picture, beside the pixels
    that were changed.
    """
    from manifests.release import signing
    from tests.manifests.certificates import write_credentials

    kept = read_credentials(*write_credentials(tmp_path / "again"))
    monkeypatch.setattr(
        signing, "SETTINGS", {"builder": {"thumbnail": {"enabled": True}}, "verify": {"verify_trust": False}}
    )
    signer = Signer(kept)
    row = image(signed, 0)
    unsigned = next(one for one in read_manifest(origins).to_pylist() if one["image_id"] == row["image_id"])
    data = signer.sign((origins / unsigned["path"]).read_bytes(), {**row, "path": unsigned["path"]}, None)
    replaced(signed, row, data)
    (finding,) = check_release(signed)
    assert (finding.code, finding.ids) == ("thumbnail", (row["image_id"],))
