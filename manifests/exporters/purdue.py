"""Exporter `purdue`: the CSVs of PG-FDD (Lin et al., CVPR 2024), train.csv, val.csv, test.csv, and their
images.

`img_path,label,ismale,isasian,iswhite,isblack,intersec_label,spe_label` with 1 and -1; then video_id and
identity_id, which its loader does not look at. Its cells are asian, white, black and others: a row whose
perceived race or gender is unknown, or has no counterpart, has no intersec_label and goes to `left_out.csv`.
fairface4's White holds Middle Eastern and Latino faces, which Xu et al. would call others: `white` says
whether it counts as white here. `methods.csv` names the spe_labels. Its training reads pairs,
`<prefix>faketrain.csv` and `<prefix>realtrain.csv` (and of val): those are in `pairs/`, which is the prefix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.adapters.purdue import EIGHT, SPECIFIC, intersection
from manifests.atomic import write_text
from manifests.containment import inside
from manifests.errors import DataError, disk_errors
from manifests.escaping import csv_text
from manifests.exporters.base import EXPORTERS
from manifests.registry import Params
from manifests.release.exporting import image_of, put_image, rows_of, slug, video_of
from manifests.taxonomy import get_taxonomy

HEAD = (
    "img_path",
    "label",
    "ismale",
    "isasian",
    "iswhite",
    "isblack",
    "intersec_label",
    "spe_label",
    "video_id",
    "identity_id",
)


class PurdueExportParams(Params):
    """`split` of rows that have none. `white`: fairface4's White counts as white."""

    split: str = "test"
    white: bool = True


@EXPORTERS.register("purdue", family="layout", params=PurdueExportParams, paper="Lin et al., CVPR 2024")
class PurdueExporter:
    """The CSVs of PG-FDD and AI-Face's loaders, with 1 / -1 attributes and intersection labels."""

    def __init__(self, params: PurdueExportParams) -> None:
        self.params = params

    def _race(self, race: str | None, taxonomy: str) -> str | None:
        if taxonomy == "fairface4" and race == "White" and self.params.white:
            return "white"
        return get_taxonomy(taxonomy).map_race(race, "ffpp")

    def export(self, manifest: Path, out: Path) -> Path:
        """Write the CSVs and images below `out`; returns `out`.

        Raises:
            DataError: no row has a cell of that layout, or an image is not there. UsageError: the manifest's
                taxonomy has no
            map to asian, white, black, others. PartialError: the disk is full.
        """
        folder, taxonomy, rows = rows_of(manifest)
        others = sorted({row["method"] for row in rows if row["label"]} - set(SPECIFIC))
        number = {name: place for place, name in enumerate((*SPECIFIC, *others), 1)}
        tables: dict[str, list[tuple[Any, ...]]] = {}
        left = []
        with disk_errors(out):
            for row in rows:
                race, gender = self._race(row["race"], taxonomy), row["gender"]
                if race is None or gender not in ("Male", "Female"):
                    left.append(
                        (row["image_id"], f"race {row['race']} and gender {gender} have no intersec_label")
                    )
                    continue
                path = put_image(
                    out, f"images/{slug(row['method'])}/{slug(video_of(row))}", row, image_of(folder, row)
                )
                tables.setdefault(row["split"] or self.params.split, []).append(
                    (
                        path,
                        row["label"],
                        1 if gender == "Male" else -1,
                        *(1 if race == name else -1 for name in EIGHT[:3]),
                        intersection(race, gender, asian=True),
                        number[row["method"]] if row["label"] else 0,
                        row["video_id"] or "",
                        row["identity_id"] or "",
                    )
                )
            if not tables:
                raise DataError(
                    str(manifest),
                    "has no row with a perceived race and gender of that layout",
                    "annotate it first, or choose another format",
                )
            families = {row["method"]: row["family"] for row in rows}
            named = [
                (place, name, families.get(name, "")) for name, place in number.items() if name in families
            ]
            write_text(out / "methods.csv", csv_text([("spe_label", "method", "family"), *named]))
            write_text(out / "left_out.csv", csv_text([("image_id", "reason"), *left]))
            for split, table in tables.items():
                write_text(out / f"{split}.csv", csv_text([HEAD, *table]))
                for kind, label in (("real", 0), ("fake", 1)):
                    half = [line for line in table if line[1] == label]
                    write_text(inside(out, f"pairs/{kind}{split}.csv"), csv_text([HEAD, *half]))
        return out
