"""Exporter `deepfakebench`: the JSON list of DeepfakeBench (Yan et al., NeurIPS 2023) with its frames.

`<name>.json` is `{dataset: {label: {split: {video: {"label", "frames", "masks", "fairforge"}}}}}`, frames
relative to it; labels are `<dataset>_real` and `<dataset>_<method>`. Its loader opens `<dataset>.json`, looks
for the split under every label, and reads a frame's name as a number: so there is such a file for each
dataset, every label has all splits, and frames are `000.jpg`, `001.jpg`, ... of their video. `fairforge`, one
entry per frame, has what that layout has no place for: its own loader does not look at it. Rows without a
split go to `split`. The list's labels stand in `labels.json` for its label_dict.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import field_validator

from manifests.atomic import write_json
from manifests.errors import disk_errors
from manifests.exporters.base import EXPORTERS
from manifests.registry import Params
from manifests.release.exporting import attributes, image_of, put_image, rows_of, slug, video_of
from manifests.schema import SPLITS


class DeepfakeBenchParams(Params):
    """`name` of the list; `split` of rows that have none."""

    name: str = "fairforge"
    split: str = "test"

    @field_validator("split")
    @classmethod
    def _split(cls, value: str) -> str:
        if value not in SPLITS:
            raise ValueError(f"choose one of: {', '.join(SPLITS)}")
        return value


@EXPORTERS.register(
    "deepfakebench", family="layout", params=DeepfakeBenchParams, paper="Yan et al., NeurIPS 2023"
)
class DeepfakeBenchExporter:
    """A JSON list of DeepfakeBench, and the frames it names."""

    def __init__(self, params: DeepfakeBenchParams) -> None:
        self.params = params

    def export(self, manifest: Path, out: Path) -> Path:
        """Write the list and its frames below `out`; returns the list.

        Errors as `read_manifest`; a DataError also for an image that is not there; a full disk is a
        PartialError.
        """
        folder, _, rows = rows_of(manifest)
        value: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        classes: dict[str, int] = {}
        frames: Counter[tuple[str, str]] = Counter()
        with disk_errors(out):
            for row in rows:
                dataset, split = slug(row["dataset"] or self.params.name), row["split"] or self.params.split
                label = f"{dataset}_{slug(row['method']) if row['label'] else 'real'}"
                video = slug(video_of(row))
                path = put_image(
                    out, f"frames/{label}/{video}", row, image_of(folder, row), frames[label, video]
                )
                frames[label, video] += 1
                splits = value.setdefault(dataset, {}).setdefault(label, {name: {} for name in SPLITS})
                entry = splits[split].setdefault(
                    video, {"label": label, "frames": [], "masks": [], "fairforge": []}
                )
                entry["frames"].append(path)
                entry["fairforge"].append(attributes(row))
                classes[label] = row["label"]
            write_json(out / "labels.json", classes)
            for dataset, labels in value.items():
                write_json(out / f"{dataset}.json", {dataset: labels})
            write_json(out / f"{slug(self.params.name)}.json", value)
        return out / f"{slug(self.params.name)}.json"
