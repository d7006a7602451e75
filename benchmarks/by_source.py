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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from detector.fairness import cluster_index
from detector.metrics.auc_error import auc_error
from manifests.proportions import share
from manifests.store import read_manifest

COLUMNS = ["identity_id", "label", "method", "score"]


def of_people(rows: dict[str, np.ndarray], threshold: float) -> dict[str, Any]:
    """FPR and AUCs of rows, by the columns of `COLUMNS`: arrays [N]."""
    real = rows["label"] == 0
    called = int((rows["score"][real] >= threshold).sum())
    out: dict[str, Any] = {
        "people": len(set(rows["identity_id"].tolist())),
        "FPR": share(called, int(real.sum())),
        "AUC": {},
    }
    for method in sorted(set(rows["method"][~real].tolist())):
        used = real | (rows["method"] == method)
        cluster = cluster_index(rows["identity_id"][used].tolist(), int(used.sum()))
        alone = np.zeros(int(used.sum()), np.int64)
        area = auc_error(rows["label"][used], rows["score"][used], cluster, alone)
        out["AUC"][method] = [round(float(value), 4) for value in (area.value, *area.interval())]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--manifest", type=Path, action="append", required=True)
    parser.add_argument("--threshold", type=float, required=True)
    given = parser.parse_args()
    table = pq.read_table(given.evaluation / "scores.parquet", columns=COLUMNS)
    rows = {name: np.array(table[name].to_pylist()) for name in COLUMNS}
    found = {}
    for manifest in given.manifest:
        people = read_manifest(manifest, ["identity_id"])["identity_id"].to_pylist()
        mine = np.isin(rows["identity_id"], np.array(people))
        found[str(manifest)] = of_people(
            {name: column[mine] for name, column in rows.items()}, given.threshold
        )
    print(json.dumps({"threshold": given.threshold, **found}))


if __name__ == "__main__":
    main()
