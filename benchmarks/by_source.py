"""Is a detector's test easier on the people of one manifest than on those of another?

    python -m benchmarks.by_source E --threshold 0.5 --manifest m/strict --manifest m/wider

Scores of `fairforge evaluate` (folder E), apart by the manifest that the test images' people came from: a
held-out set that was gathered from several says here what stricter filters make easier. One JSON line: per
manifest the people, FPR with Wilson's interval, and the AUC of each method's fakes with an interval by
person, 95 %.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from manifests.proportions import share
from manifests.store import read_manifest
from pipeline.commands.audio_visual.areas import method_areas

COLUMNS = ["identity_id", "label", "method", "score"]


def of_people(rows: Sequence[Mapping[str, Any]], threshold: float) -> dict[str, Any]:
    """FPR of the rows' real images, and each method's AUC, of rows with `COLUMNS`."""
    real = [row["score"] for row in rows if row["label"] == 0]
    scored = [{**row, "video_id": None, "scores": {"score": row["score"]}} for row in rows]
    areas = method_areas(scored, "score", threshold)
    return {
        "people": len({row["identity_id"] for row in rows}),
        "FPR": share(sum(score >= threshold for score in real), len(real)),
        "AUC": {m: [round(value, 4) for value in (a["AUC"], *a["interval"])] for m, a in areas.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--manifest", type=Path, action="append", required=True)
    parser.add_argument("--threshold", type=float, required=True)
    given = parser.parse_args()
    table = pq.read_table(given.evaluation / "scores.parquet", columns=COLUMNS)
    rows = table.to_pylist()
    found = {}
    for manifest in given.manifest:
        people = set(read_manifest(manifest, ["identity_id"])["identity_id"].to_pylist())
        mine = [row for row in rows if row["identity_id"] in people]
        found[str(manifest)] = of_people(mine, given.threshold)
    print(json.dumps({"threshold": given.threshold, **found}))


if __name__ == "__main__":
    main()
