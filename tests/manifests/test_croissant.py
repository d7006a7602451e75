"""`croissant.json` through mlcroissant, offline, row by row against pyarrow's own reading."""

import fnmatch
import hashlib
import json
import math
import shutil
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.release import build_release
from manifests.release.croissant import croissant
from manifests.release.provenance import usage_info
from tests.manifests.release_fixture import INFO, make_dataset

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:ConjunctiveGraph is deprecated:DeprecationWarning"
    ),  # rdflib, in its JSON-LD parser
    pytest.mark.filterwarnings(
        "ignore:The inplace keyword in DataFrame.reset_index is deprecated"
    ),  # mlcroissant
]


@pytest.fixture(scope="module", params=[True, False], ids=["all seeds", "null seeds"])
def release(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("croissant")
    make_dataset(folder / "d", seeds=request.param)
    return build_release(folder / "d", folder / "r", INFO).path


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def load(folder):
    import mlcroissant

    return mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))


def generation_error():
    from mlcroissant import GenerationError

    return GenerationError


def first_cause(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def plain(value):
    """mlcroissant gives text as bytes, and null as None or NaN."""
    if isinstance(value, bytes):
        return value.decode()
    return None if isinstance(value, float) and math.isnan(value) else value


def test_records_equal_the_rows_of_the_parquet_file(release):
    records = list(load(release).records("images"))
    rows = pq.read_table(release / "manifest.parquet").to_pylist()
    assert len(records) == len(rows) == 48
    columns = {name.removeprefix("images/") for name in records[0]}
    for record, row in zip(records, rows, strict=True):
        assert {k.removeprefix("images/"): plain(v) for k, v in record.items()} == {
            c: row[c] for c in columns
        }
    nulls = {c for c in columns if any(row[c] is None for row in rows)}
    assert {"quality", "target_id", "mask_path", "licence", "age"} <= nulls


def test_every_column_is_a_field_but_lists_and_integers_that_would_be_rounded(release):
    table = pq.read_table(release / "manifest.parquet")
    fields = {
        field["name"]: field
        for field in json.loads((release / "croissant.json").read_text())["recordSet"][0]["field"]
    }
    left_out = {"landmarks", "fake_segments"} | ({"seed"} if table.column("seed").null_count else set())
    assert set(fields) == set(table.column_names) - left_out
    assert max(v for v in table.column("seed").to_pylist() if v is not None) > 2**53
    for name, field in fields.items():
        kind = table.schema.field(name).type
        expected = (
            "sc:Text"
            if pa.types.is_string(kind)
            else "sc:Float"
            if pa.types.is_floating(kind)
            else "sc:Integer"
        )
        assert field["dataType"] == ([expected, "cr:Label"] if name == "label" else expected)


def test_metadata_read_back(release):
    metadata = load(release).metadata
    assert metadata.name == INFO.name
    assert metadata.version == INFO.version
    assert [creator.name for creator in metadata.creators] == list(INFO.creators)
    assert metadata.license == ["https://creativecommons.org/licenses/by/4.0/"]
    assert metadata.date_published.date().isoformat() == INFO.date
    assert metadata.cite_as == INFO.cite()
    assert [record_set.name for record_set in metadata.record_sets] == ["images"]


def test_no_errors_and_no_warnings_from_its_validator(release):
    issues = load(release).metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings


def test_file_sets_hold_every_image_once_and_no_mask(release):
    sets = [
        d
        for d in json.loads((release / "croissant.json").read_text())["distribution"]
        if d["@type"] == "cr:FileSet"
    ]
    files = [p.relative_to(release).as_posix() for p in release.rglob("*") if p.is_file()]
    held = [name for one in sets for name in files if fnmatch.fnmatchcase(name, one["includes"])]
    assert sorted(held) == sorted(pq.read_table(release / "manifest.parquet").column("path").to_pylist())
    assert {one["encodingFormat"] for one in sets} == {"image/png", "image/jpeg"}


def test_column_that_the_parquet_file_lacks_fails_on_reading_not_on_opening(release, tmp_path):
    """Opening checks the JSON alone, so that reading the records is the only proof."""
    folder = shutil.copytree(release, tmp_path / "r")
    manifest = folder / "manifest.parquet"
    pq.write_table(pq.read_table(manifest).drop_columns(["race"]), manifest)
    data = json.loads((folder / "croissant.json").read_text())
    data["distribution"][0]["sha256"] = hashlib.sha256(manifest.read_bytes()).hexdigest()
    (folder / "croissant.json").write_text(json.dumps(data))
    dataset = load(folder)
    with pytest.raises(generation_error(), match=r"Read\(manifest\)") as caught:
        list(dataset.records("images"))
    assert "race" in first_cause(caught.value)


def test_manifest_with_another_digest_is_refused(release, tmp_path):
    folder = shutil.copytree(release, tmp_path / "r")
    data = json.loads((folder / "croissant.json").read_text())
    data["distribution"][0]["sha256"] = "0" * 64
    (folder / "croissant.json").write_text(json.dumps(data))
    dataset = load(folder)
    with pytest.raises(generation_error(), match=r"Download\(manifest\)") as caught:
        list(dataset.records("images"))
    assert "hash" in first_cause(caught.value).lower()


def test_without_a_date_nothing_is_wrong_and_only_a_recommendation_is_open(release, tmp_path):
    made = build_release(release, tmp_path / "r", INFO.model_copy(update={"date": ""})).path
    dataset = load(made)
    assert dataset.metadata.date_published is None
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert [issue for issue in issues.warnings if "datePublished" not in issue] == []


def test_it_is_croissant_1_1_and_says_what_responsible_use_asks_for(release):
    dataset = load(release)
    data = json.loads((release / "croissant.json").read_text())
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert "http://mlcommons.org/croissant/RAI/1.0" in data["conformsTo"]
    for name in (
        "dataLimitations",
        "dataBiases",
        "personalSensitiveInformation",
        "dataUseCases",
        "dataSocialImpact",
    ):
        assert len(data[f"rai:{name}"]) > 50, name
    assert data["rai:hasSyntheticData"] is True
    assert [one["prov:label"] for one in data["prov:wasGeneratedBy"]] == [
        "collection",
        "verification",
        "forging",
        "pairing and encoding",
    ]
    assert any("generator drawn" in one["prov:label"] for one in data["prov:wasDerivedFrom"])
    assert [one.get("termCode") for one in data["usageInfo"]] == ["DUO_0000042", None, None]
    assert dataset.metadata.data_social_impact == data["rai:dataSocialImpact"]
    assert dataset.metadata.data_biases == [data["rai:dataBiases"]]


def test_race_and_gender_are_attributed_to_the_model_or_the_annotation_they_are_from(release, tmp_path):
    table = pq.read_table(release / "manifest.parquet")
    rows = table.to_pylist()
    for row in rows:
        own = "annotation:labels.csv" if row["race"] == "White" else "model:m@12345678"
        row["attribute_source"] = "inherited" if row["label"] else own
    made = croissant(pa.Table.from_pylist(rows, schema=table.schema), INFO, "0" * 64, 1)
    fields = {field["name"]: field for field in made["recordSet"][0]["field"]}
    for name in ("race", "gender", "cell"):
        agents = {(one["@type"], one["prov:label"]) for one in fields[name]["prov:wasAttributedTo"]}
        assert agents == {("prov:SoftwareAgent", "m@12345678"), ("prov:Agent", "annotation labels.csv")}
        assert fields[name]["prov:wasDerivedFrom"] == {"@id": "images/target_id"}
    assert fields["attribute_source"]["equivalentProperty"] == "prov:wasAttributedTo"
    assert "prov:wasAttributedTo" not in fields["path"]
    assert made["rai:machineAnnotationTools"] == ["m@12345678"]


@pytest.mark.parametrize(("licence", "terms"), [("CC BY 4.0", 1), ("CC BY-NC 4.0", 2)])
def test_a_licence_without_commerce_is_said_by_the_ontology_of_data_use(licence, terms):
    assert len([one for one in usage_info(licence) if one["@type"] == "DefinedTerm"]) == terms
