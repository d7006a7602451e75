"""How many near identities does the quick search find? `python -m benchmarks.identities [--faces 40000
100000] [--index FILE]`.

All pairs nearer than `--distance` (that of `verify.min_identity_distance`) among drawn embeddings, or among
those of an index of real faces, by comparing all with all and by leaves (`attribute_models.identity.near`):
recall, and processor seconds of both. Drawn ones hold people about 0.6 apart, and some that are there
twice; the exact search takes time as the square of the faces.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from attribute_models.identity.index import IdentityIndex
from attribute_models.identity.near import PROBES, near_pairs
from benchmarks.scale_data import embeddings
from pipeline.engine.executors import one_thread


def timed(faces: np.ndarray, distance: float, exact: int, probes: int) -> tuple[set[tuple[int, int]], float]:
    """The pairs, and processor seconds."""
    start = time.process_time()
    found = near_pairs(faces, distance, exact=exact, probes=probes)
    return set(map(tuple, found.tolist())), time.process_time() - start


def main() -> None:
    """Print a JSON line for each number of faces and of leaves looked into."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, nargs="+", default=[40_000, 100_000])
    parser.add_argument(
        "--index", type=Path, help="of `fairforge identity-index`: its faces in place of drawn ones"
    )
    parser.add_argument("--distance", type=float, default=0.25)
    parser.add_argument("--probes", type=int, nargs="+", default=[2, PROBES, 12])
    given = parser.parse_args()
    one_thread()
    known = IdentityIndex.load(given.index).embeddings() if given.index is not None else None
    for count in given.faces if known is None else [len(known)]:
        faces = embeddings(count) if known is None else known
        every, exactly = timed(faces, given.distance, count, PROBES)
        for probes in given.probes:
            found, quickly = timed(faces, given.distance, 0, probes)
            facts = {"faces": count, "pairs": len(every), "probes": probes}
            facts["recall"] = round(len(found & every) / max(len(every), 1), 5)
            print(
                json.dumps({**facts, "exact_s": round(exactly, 2), "leaves_s": round(quickly, 2)}), flush=True
            )


if __name__ == "__main__":
    main()
