"""`croissant.json`: the release in MLCommons Croissant 1.1 (JSON-LD), so that `mlcroissant` loads it.

Two kinds of distribution (manifest.parquet and the image files) and one record set, `images`, whose fields
are the manifest's columns. What is said of responsible use and provenance is
`manifests.release.provenance`'s. List columns (landmarks) and integers that readers would round (seeds with
nulls among them) are left to the parquet file.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import slices
from manifests.release.info import ReleaseInfo
from manifests.release.licences import URLS
from manifests.release.provenance import dataset_provenance, field_provenance, usage_info

VERSION = "http://mlcommons.org/croissant/1.1"
CONFORMS = (VERSION, "http://mlcommons.org/croissant/RAI/1.0")
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}
MEANING = {
    "image_id": "Stable id of the image.",
    "path": "Path of the image file, relative to this folder.",
    "sha256": "Digest of the image file.",
    "label": "0 real, 1 fake.",
    "method": "Forgery method; none for a real image.",
    "family": "Family of the forgery.",
    "race": "Perceived race, in the taxonomy of the manifest.",
    "gender": "Perceived gender.",
    "age": "Perceived age.",
    "cell": "Perceived race/gender, or race/gender/age.",
    "race_prob": "Calibrated confidence of the perceived race.",
    "gender_prob": "Calibrated confidence of the gender.",
    "pair_id": "A real image and the fakes made of it share it.",
    "split": "train, val or test.",
    "identity_id": "Identity, disjoint between splits.",
    "counterfactual_id": (
        "Faces of one draw decoded under several cells share it, and so do the fakes made of them."
    ),
    "tuple_id": "The same image at several qualities, pixel by pixel aligned, share it.",
    "mask_path": "8-bit alpha of what was changed.",
    "media": "image or video; none means image.",
    "frames": "Frames of a clip.",
    "fps": "Mean frames a second of a clip.",
    "duration": "Seconds of a clip's picture.",
    "audio_path": "File of a clip's sound, where it is not in the clip.",
    "audio_sha256": "Digest of that file.",
    "target_id": "The image that was changed.",
    "source_id": "The image that gave identity.",
    "driver_id": "The image that gave motion.",
    "licence": "Licence of this very image.",
    "consent": "What is known of the depicted person's consent.",
    "origin": (
        "photograph or synthetic: where the face comes from; of a forgery, that of the face that was changed."
    ),
}

KINDS = {
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "png": "image/png",
    "mp4": "video/mp4",
    "mpg": "video/mpeg",
    "wav": "audio/wav",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mov": "video/quicktime",
}
"""Media types of files by their endings."""
INCLUDES = {"images": "images/*/*/*/*.{}", "clips": "clips/*/*.{}"}
"""Where images and clips stand; see `manifests.release.layout`."""


def _type(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Integer" if pa.types.is_integer(kind) else "sc:Text"


def _loses_digits(table: pa.Table, column: pa.Field) -> bool:
    """Whether a reader that turns nullable integers into float64 would change values (seeds above 2^53)."""
    if not pa.types.is_integer(column.type):
        return False
    values = table.column(column.name)
    high = pc.max(pc.abs(values)).as_py()
    return values.null_count > 0 and high is not None and high > 2**53


def _field(column: pa.Field, table: pa.Table) -> dict[str, Any]:
    kind = _type(column.type)
    return {
        "@type": "cr:Field",
        "@id": f"images/{column.name}",
        "name": column.name,
        "description": MEANING.get(column.name, f"Column {column.name} of the manifest."),
        "dataType": [kind, "cr:Label"] if column.name == "label" else kind,
        "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": column.name}},
        **({"equivalentProperty": "prov:wasAttributedTo"} if column.name == "attribute_source" else {}),
        **field_provenance(table, column.name),
    }


def croissant(
    table: pa.Table, info: ReleaseInfo, manifest_sha256: str, manifest_bytes: int
) -> dict[str, Any]:
    """The JSON-LD of a release as a dictionary."""
    columns = [
        column
        for column in table.schema
        if not pa.types.is_list(column.type) and not _loses_digits(table, column)
    ]
    files = sorted(
        {
            ("clips" if str(path).startswith("clips/") else "images", str(path).rpartition(".")[2])
            for name in ("path", "audio_path")
            if name in table.column_names
            for part in slices(table.select([name]))
            for path in part[name].drop_null().to_pylist()
        }
    )
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS),
        "name": info.name,
        "description": info.description,
        "version": info.version,
        **({"datePublished": info.date} if info.date else {}),
        "license": URLS.get(info.licence, info.licence),
        **({"url": info.url} if info.url else {}),
        "creator": [{"@type": "sc:Organization", "name": name} for name in info.creators],
        "citeAs": info.cite(),
        "isLiveDataset": False,
        "usageInfo": usage_info(info.licence),
        **dataset_provenance(table),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": "manifest.parquet",
                "contentUrl": "manifest.parquet",
                "contentSize": f"{manifest_bytes} B",
                "encodingFormat": "application/x-parquet",
                "sha256": manifest_sha256,
                "description": "One row per image.",
            },
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"files-{suffix}",
                    "name": f"{suffix} {folder}",
                    "includes": INCLUDES[folder].format(suffix),
                    "encodingFormat": KINDS.get(suffix, "application/octet-stream"),
                    "description": "The image files." if folder == "images" else "The files of clips.",
                }
                for folder, suffix in files
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "One record per image.",
                "key": {"@id": "images/image_id"},
                "field": [_field(column, table) for column in columns],
            }
        ],
    }
