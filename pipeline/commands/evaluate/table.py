"""`fairforge table RUN...`: detectors by datasets, utility beside unfairness, so that neither is read alone.

Rows are detectors, their floors (`pipeline.stages.evaluate.floors`), and a constant predictor, which has no
gap and no skill. Columns are datasets, marked intra (the test split of the detector's own set) or cross. A
gap is that of the report's mode with its 95 % interval; a dataset a detector was not measured on is left
empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.errors import DataError, UsageError
from manifests.registry import nearest
from manifests.text_files import read_json
from pipeline.stages.evaluate.score_files import evaluated_file

CONSTANT = "constant predictor"
GAPS = ("F_FPR", "F_MEO", "F_EFPR", "F_EO", "F_OAE", "F_DP", "F_DP_balanced", "F_TPR", "G_AUC")
UTILITY = ("AUC", "AP", "EER", "ACC", "TPR", "FPR")


@dataclass(frozen=True)
class Figure:
    """One figure; None where it is undefined or was not measured."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    def text(self) -> str:
        """Three decimals with the interval, or a dash."""
        if self.value is None:
            return "-"
        known = self.low is not None and self.high is not None
        return f"{self.value:.3f}" + (f" [{self.low:.3f}, {self.high:.3f}]" if known else "")


@dataclass(frozen=True)
class CrossTable:
    """`cells[detector][dataset][figure]`; `scope[dataset]` is intra or cross. `detectors` ends with floors
    and the constant predictor.
    """

    detectors: tuple[str, ...]
    datasets: tuple[str, ...]
    scope: Mapping[str, str]
    figures: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    kind: str


def read_results(path: Path) -> dict[str, Any]:
    """The value of a results.json with its `datasets`.

    Raises:
        MissingError: not there. DataError: not such a file.
    """
    file = evaluated_file(path, "results.json")
    value: dict[str, Any] = read_json(file, dict, finite=True)
    floors = value.get("floors", {})
    parts = {"datasets": value.get("datasets"), "constant_predictor": value.get("constant_predictor", {})}
    parts |= (
        {f"floors.{name}": found for name, found in floors.items()}
        if isinstance(floors, dict)
        else {"floors": None}
    )
    for part, entries in parts.items():
        if not isinstance(entries, dict) or not all(_is_entry(entry) for entry in entries.values()):
            raise DataError(
                str(file),
                f"is not an evaluation's results.json: its {part} are no figures of datasets",
                "run `fairforge evaluate` again",
            )
    return value


def _is_figures(part: Any) -> bool:
    """Whether a part of an entry has finite numbers or nothing under the names of figures, and intervals of
    two of these.
    """
    if not isinstance(part, dict) or not isinstance(part.get("intervals", {}), dict):
        return False
    pairs = [pair for pair in part.get("intervals", {}).values() if pair]
    figures = [part[name] for name in (*UTILITY, *GAPS) if name in part]
    whole = all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    values = [*figures, *(v for pair in pairs for v in pair)]
    return whole and all(v is None or (type(v) in (int, float) and math.isfinite(v)) for v in values)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("gaps", {}), dict):
        return False
    parts = (entry.get("utility", {}), *entry.get("gaps", {}).values())
    return all(map(_is_figures, parts)) and (not entry.get("video") or _is_entry(entry["video"]))


def scope_of(dataset: str) -> str:
    """Intra for the detector's own test split (`test`, `test-...`), cross for any other dataset."""
    return "intra" if dataset == "test" or dataset.startswith("test-") else "cross"


def _scopes(results: Mapping[str, Any]) -> dict[str, str]:
    """Of each dataset: as its entry says, else by its name; one that is intra for any detector is intra."""
    found: dict[str, str] = {}
    for value in results.values():
        for name, entry in value["datasets"].items():
            scope = str(entry.get("scope") or scope_of(name))
            found[name] = scope if found.get(name) != "intra" else "intra"
    return found


def _at(entry: Mapping[str, Any], level: str) -> Mapping[str, Any]:
    return entry if level == "frame" else entry.get("video") or {}


def _figure(entry: Mapping[str, Any], name: str, kind: str) -> Figure:
    part = entry.get("utility", {}) if name in UTILITY else entry.get("gaps", {}).get(kind, {})
    low, high = part.get("intervals", {}).get(name) or (None, None)
    return Figure(part.get(name), low, high)


def cross_table(
    runs: Sequence[Path],
    names: Sequence[str] = (),
    gaps: Sequence[str] = ("F_FPR", "F_MEO"),
    kind: str = "cell",
    level: str = "frame",
) -> CrossTable:
    """The table of several runs. `names`: of the detectors; their own or the folders' when empty. `level`:
    `frame` or `video`.

    Raises:
        UsageError: an unknown gap, or another number of names than of runs. MissingError, DataError: see
            `read_results`.
    """
    if level not in ("frame", "video"):
        raise UsageError(f"level {level!r}", "is not known", "choose frame or video")
    unknown = [gap for gap in gaps if gap not in GAPS]
    if unknown:
        close = nearest(unknown[0], list(GAPS))
        raise UsageError(f"gap {unknown[0]!r}", f"is not known{close}", f"choose among: {', '.join(GAPS)}")
    found = [read_results(path) for path in runs]
    folders = [path.name if path.is_dir() else path.absolute().parent.name for path in runs]
    names = list(names) or [
        str(value.get("detector") or name) for value, name in zip(found, folders, strict=True)
    ]
    taken = {CONSTANT, *(title for value in found for title in value.get("floors", {}))}
    if len(names) != len(runs) or len(set(names)) != len(names) or taken & set(names):
        raise UsageError(
            f"the names {', '.join(names)}", "are not one of its own for each run", "give --name once per run"
        )
    results = dict(zip(names, found, strict=True))
    datasets = list(dict.fromkeys(name for value in results.values() for name in value["datasets"]))
    scope = _scopes(results)
    datasets.sort(key=lambda name: scope[name] != "intra")
    figures = ("AUC", "EER", *gaps)
    cells = {
        detector: {
            name: {f: _figure(_at(entry, level), f, kind) for f in figures}
            for name, entry in value["datasets"].items()
        }
        for detector, value in results.items()
    }
    for detector, value in results.items():
        for title, entries in value.get("floors", {}).items():
            shared = sum(title in other.get("floors", {}) for other in found) > 1
            cells[f"{title} of {detector}" if shared else title] = {
                name: {f: _figure(_at(entry, level), f, kind) for f in figures}
                for name, entry in entries.items()
            }
    constant: dict[str, Mapping[str, Figure]] = {}
    for value in results.values():
        for name, entry in value.get("constant_predictor", {}).items():
            constant.setdefault(name, {f: Figure(_figure(_at(entry, level), f, kind).value) for f in figures})
    below = {CONSTANT: {name: constant[name] for name in datasets if name in constant}}
    scope = {name: scope[name] for name in datasets}
    return CrossTable((*cells, CONSTANT), tuple(datasets), scope, figures, {**cells, **below}, kind)
