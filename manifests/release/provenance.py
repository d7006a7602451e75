"""What `croissant.json` says of responsible use and of where things come from: RAI properties, PROV-O, and
`usageInfo`.

Croissant 1.1, sections "Provenance Representation" and "Data Use Conditions"; Croissant RAI 1.0. `RAI_FIELDS`
and `PROV_FIELDS` are the eight that the NeurIPS data track asks for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import distinct, pairs_of
from manifests.release.words import INTENDED, MISUSE
from manifests.schema import PHOTOGRAPH, SYNTHETIC, with_later_columns
from manifests.weights import catalogue

RAI_FIELDS = (
    "rai:dataLimitations",
    "rai:dataBiases",
    "rai:personalSensitiveInformation",
    "rai:dataUseCases",
    "rai:dataSocialImpact",
    "rai:hasSyntheticData",
)
PROV_FIELDS = ("prov:wasDerivedFrom", "prov:wasGeneratedBy")
PERCEIVED_COLUMNS = ("race", "gender", "age", "cell", "race_prob", "gender_prob")
"""Columns that are somebody's or something's reading of a face: each names whose."""
FORGED_COLUMNS = (
    "label",
    "method",
    "family",
    "target_id",
    "source_id",
    "driver_id",
    "mask_path",
    "fake_segments",
)
COLLECTED = {
    SYNTHETIC: "Synthetic faces drawn per perceived race x gender cell",
    PHOTOGRAPH: "Photographs chosen per perceived race x gender cell",
}
LIMITATIONS = """\
Small crops of single faces; a detector trained on them learns traces of these forgery methods and of this generator, and results on
them say little of other data. Cells are as good as what assigned them. Balanced by design: no population has these shares."""
BIASES = """\
Cells and labels carry the errors of the attribute classifier or of the annotators, which differ between groups; README.md has the
acceptance of each cell. The taxonomy's few words for race and gender leave out most of how people see themselves."""
SENSITIVE = "Perceived race, gender and age of faces; of real people where `origin` is photograph."
IMPACT = """\
Meant to make it visible, and smaller, that detectors of forged faces err more for some groups. Masks, methods and seeds
could help to tune forgeries against detectors; labels of perceived race and gender could be misused to classify people."""


def _text(value: str) -> str:
    return " ".join(value.split())


def _agent(source: str) -> dict[str, str]:
    """The PROV agent behind a value of `attribute_source`."""
    kind, _, name = source.partition(":")
    if kind == "model":
        return {"@type": "prov:SoftwareAgent", "prov:label": name}
    if kind == "annotation":
        return {"@type": "prov:Agent", "prov:label": f"annotation {name}"}
    return {"@type": "prov:Agent", "prov:label": source}


def _activity(label: str, description: str, agents: Iterable[dict[str, str]] = ()) -> dict[str, Any]:
    out: dict[str, Any] = {"@type": "prov:Activity", "prov:label": label, "description": _text(description)}
    if found := list(agents):
        out["prov:wasAssociatedWith"] = found
    return out


def sources_of(table: pa.Table, column: str) -> list[str]:
    """The values of `attribute_source`, sorted, in rows where the column has a value; `inherited` last."""
    known = distinct(table["attribute_source"].filter(pc.is_valid(table[column])))
    return sorted(
        {source for source in known if source is not None}, key=lambda source: (source == "inherited", source)
    )


def field_provenance(table: pa.Table, column: str) -> dict[str, Any]:
    """PROV-O properties of the field of a column; empty for columns that are facts of a file or of the run.

    Perceived attributes are attributed to the model or the annotation they are from, and, where a forgery has
    those of the face that was changed, derived from what the column `target_id` names.
    """
    if column in PERCEIVED_COLUMNS:
        sources = sources_of(table, column)
        agents = [_agent(source) for source in sources if source != "inherited"]
        out: dict[str, Any] = {"prov:wasAttributedTo": agents} if agents else {}
        if "inherited" in sources:
            out["prov:wasDerivedFrom"] = {"@id": "images/target_id"}
        out["prov:wasGeneratedBy"] = _activity(
            "perceived attributes", "What a model or an annotator reads from the face."
        )
        return out
    if column in FORGED_COLUMNS:
        return {"prov:wasGeneratedBy": _activity("forging", "Known from how the image was made, not judged.")}
    return {}


def _derived(table: pa.Table) -> list[dict[str, str]]:
    """The data that a release was made of: photographs, and what the weights behind it were trained on."""
    real = table.select(["origin", "dataset"]).filter(pc.equal(table["label"], 0))
    photographs = distinct(real["dataset"].filter(pc.equal(real["origin"], PHOTOGRAPH)))
    names = sorted(set(photographs), key=str)
    out = [{"@type": "prov:Entity", "prov:label": f"photographs: {name or 'unknown'}"} for name in names]
    generators = pairs_of(table, "generator", "generator_sha256")
    ours = {weight.sha256: weight for weight in catalogue().values()}
    models = {source.removeprefix("model:") for source in distinct(table["attribute_source"]) if source}
    for name, sha in sorted((name, sha or "") for name, sha in generators if name):
        data = f"; trained on {ours[sha].data}" if sha in ours else ""
        out.append(
            {"@type": "prov:Entity", "prov:label": f"weights of generator {name} (sha256 {sha}){data}"}
        )
    for weight in sorted(ours.values(), key=lambda weight: weight.name):
        if f"{weight.name}@{weight.digest8}" in models:
            out.append(
                {"@type": "prov:Entity", "prov:label": f"weights of {weight.name}; trained on {weight.data}"}
            )
    return out or [
        {"@type": "prov:Entity", "prov:label": "sources not stated; see the columns `dataset` and `origin`"}
    ]


def _generated(table: pa.Table) -> list[dict[str, Any]]:
    """The steps that made it, in their order."""
    origins = set(distinct(table["origin"]))
    collected = [words for origin, words in COLLECTED.items() if origin in origins] or ["Faces"]
    generators = sorted({name for name in distinct(table["generator"]) if name})
    judges = [source for source in sources_of(table, "attribute_source") if source != "inherited"]
    methods = sorted({method for method in distinct(table["method"]) if method != "none"})
    return [
        _activity(
            "collection",
            " and ".join(collected) + ".",
            [{"@type": "prov:SoftwareAgent", "prov:label": f"generator {name}"} for name in generators],
        ),
        _activity(
            "verification", "Faces accepted per cell by their perceived attributes.", map(_agent, judges)
        ),
        _activity(
            "forging",
            "Fakes made of accepted faces.",
            [{"@type": "prov:SoftwareAgent", "prov:label": f"method {method}"} for method in methods],
        ),
        _activity(
            "pairing and encoding", "Real and fake through one encoder call; splits that share no identity."
        ),
    ]


def usage_info(licence: str) -> list[dict[str, str]]:
    """`usageInfo`: the Data Use Ontology's terms where they fit, and what the data are for and not for, in
    words.
    """
    terms = [
        {
            "@type": "DefinedTerm",
            "name": "General Research Use",
            "termCode": "DUO_0000042",
            "url": "http://purl.obolibrary.org/obo/DUO_0000042",
        }
    ]
    if "NC" in licence.split("-") or "BY-NC" in licence:
        terms.append(
            {
                "@type": "DefinedTerm",
                "name": "Non-commercial use only",
                "termCode": "DUO_0000046",
                "url": "http://purl.obolibrary.org/obo/DUO_0000046",
            }
        )
    return [
        *terms,
        {"@type": "CreativeWork", "name": "Intended use", "text": _text(INTENDED)},
        {"@type": "CreativeWork", "name": "Misuse", "text": _text(MISUSE)},
    ]


def dataset_provenance(table: pa.Table) -> dict[str, Any]:
    """The RAI and PROV properties of the whole dataset. table: the manifest of the release."""
    table = with_later_columns(table)
    generated = (
        SYNTHETIC in distinct(table["origin"])
        or 1 in distinct(table["label"])
        or any(distinct(table["generator"]))
    )
    found = [words for origin, words in COLLECTED.items() if origin in distinct(table["origin"])]
    judges = [source for source in sources_of(table, "attribute_source") if source.startswith("model:")]
    return {
        "rai:dataCollection": f"{' and '.join(found) or 'Faces'}, verified by a classifier, and forged.",
        "rai:dataLimitations": _text(LIMITATIONS),
        "rai:dataBiases": _text(BIASES),
        "rai:personalSensitiveInformation": SENSITIVE,
        "rai:dataUseCases": _text(f"{INTENDED} {MISUSE}"),
        "rai:dataSocialImpact": _text(IMPACT),
        "rai:hasSyntheticData": generated,
        **(
            {"rai:machineAnnotationTools": [judge.removeprefix("model:") for judge in judges]}
            if judges
            else {}
        ),
        "rai:dataReleaseMaintenancePlan": (
            "Withdrawn ids stay named in release.json; versions follow MAJOR.MINOR.PATCH, see DATASHEET.md,"
            " Maintenance."
        ),
        "prov:wasDerivedFrom": _derived(table),
        "prov:wasGeneratedBy": _generated(table),
    }
