"""Adapter `deepfakebench`: the JSON lists of DeepfakeBench (Yan et al., NeurIPS 2023) and the frames they name.

`{dataset: {label: {split: {[compression:] {video: {"label", "frames", "masks"}}}}}}`. Four fakes of FaceForensics++ share a
video's name, so the key of a video has its dataset and label too. Paths may have been written on Windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.ffpp import family_of
from manifests.adapters.webdataset import source_image
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import SPLITS, Finding, path_escapes
from manifests.taxonomy import get_taxonomy
from manifests.text_files import read_json
from manifests.video_frames import evenly

METHODS = {"FF-DF": "Deepfakes", "FF-F2F": "Face2Face", "FF-FS": "FaceSwap", "FF-NT": "NeuralTextures", "FF-FH": "FaceShifter"}


class DeepfakeBenchParams(Params):
    """`root`: the folder frames are named from (the JSON's own when None). `frames`: at most so many per video, evenly."""

    taxonomy: str = "ffpp"
    root: Path | None = None
    compression: str = "c23"
    frames: int = 32

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


def is_real(label: str) -> bool:
    """Whether a label of DeepfakeBench is of real videos: FF-real, CelebDFv2_real, DFDC_Real, ..."""
    return label.lower().replace("-", "_").split("_")[-1] == "real"


def identities(names: set[str]) -> dict[str, str]:
    """Identity of each video's name: names tied by fakes `a_b` of numbers share `a_b`; `id3_id5_0001` is id3's."""
    out = {}
    for name in sorted(names):
        parts = name.split("_")
        if len(parts) == 2 and all(part.isdigit() for part in parts):
            for member in (*parts, name):
                out[member] = "_".join(sorted(parts))
        elif len(parts) > 1 and parts[0].startswith("id"):
            out[name] = parts[0]
    return {name: out.get(name, name) for name in names}


@ADAPTERS.register("deepfakebench", family="frames", params=DeepfakeBenchParams, licence="that of each dataset",
                   paper="Yan et al., NeurIPS 2023 (arXiv 2307.01426)", taxonomy="ffpp")
class DeepfakeBench:
    """Frames named by a JSON list of DeepfakeBench."""

    def __init__(self, params: DeepfakeBenchParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        if source.is_file():
            return []
        return [Finding("layout", f"{source} is not a JSON file: preprocessing/dataset_json of DeepfakeBench has them")]

    def _videos(self, source: Path) -> list[tuple[str, str, str, str, Mapping[str, Any]]]:
        """(dataset, label, split, video, entry) of the list, at the compression asked for where there are several."""
        out = []
        try:
            for dataset, labels in read_json(source).items():
                for label, splits in labels.items():
                    for split, videos in splits.items():
                        plain = all("frames" in entry for entry in videos.values())
                        chosen = videos if plain else videos.get(self.params.compression, {})
                        out += [(dataset, label, split, name, entry) for name, entry in chosen.items()]
        except (AttributeError, TypeError) as error:
            raise DataError(str(source), f"is not a list of DeepfakeBench ({error})", "fetch it again") from error
        if not out:
            raise DataError(str(source), f"names no video at compression {self.params.compression}",
                            "choose another with --set compression=")
        return out

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give the path of the JSON file")
        root = self.params.root or source.parent
        videos = self._videos(source)
        identity = {d: identities({v[3] for v in videos if v[0] == d}) for d in {v[0] for v in videos}}
        for dataset, label, split, name, entry in videos:
            where = f"{source} {dataset}/{label}/{split}/{name}"
            if split not in SPLITS:
                raise DataError(where, f"split {split!r} is not one of {', '.join(SPLITS)}", "mend the list")
            frames, known = entry["frames"], entry.get("fairforge") or []
            real = is_real(label)
            method = "none" if real else METHODS.get(label, label)
            family = "none" if real else (family_of(method) if label in METHODS else "unknown")
            for k in evenly(len(frames), self.params.frames):
                path = str(frames[k]).replace("\\", "/")
                if path_escapes(path):
                    raise DataError(where, f"the frame {path!r} leaves the folder", "name frames relative to --set root=")
                row = {
                    "label": int(not real), "method": method, "family": family, "video_id": f"{dataset}/{label}/{name}",
                    "identity_id": f"{dataset}:{identity[dataset][name]}", "dataset": dataset,
                    **(known[k] if len(known) == len(frames) else {}),
                }
                yield source_image(row, self.params.taxonomy, where, key=f"{dataset}/{label}/{path}", path=root / path,
                                   split=split, annotation_source=source.name if row.get("race") or row.get("gender") else None)
