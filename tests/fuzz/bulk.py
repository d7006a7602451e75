"""A process that reads thousands of damaged files: `python -m tests.fuzz.bulk FOLDER KIND=COUNT...`.

It has the limits of `tests.fuzz.harness`. What it does stands in FOLDER/now.json before it does it, so that a
process that was killed or crashed says by what; the outcome is FOLDER/outcome.json.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from manifests import atomic
from tests.fuzz.binary_inputs import damaged, targets
from tests.fuzz.harness import ALLOWED, Hang, Target, bounded_memory, exit_code, lay


def listing(folder: Path, without: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder, but for those below another."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_relative_to(without)
    }


def once(target: Target, place: Path, parent: Path) -> int | str:
    """The exit code of one damaged input, or what went wrong: another error, too long, or a file beside the
    folder.
    """
    before = listing(parent, place)
    try:
        code = exit_code(target.read, place)
    except (Exception, Hang):  # every escape of a reader is what this looks for
        return traceback.format_exc(limit=-4)[-1500:]
    if code not in ALLOWED:
        return f"exit code {code}"
    return code if listing(parent, place) == before else "a file outside the folder was touched"


def run(readers: list[Target], count: int, folder: Path) -> dict[str, Any]:
    """The outcomes of `count` damaged inputs of a kind, which the readers take in turn."""
    parent = folder / "watched"
    codes: Counter[str] = Counter()
    wrong, slowest = [], 0.0
    for number in range(count):
        target = readers[number % len(readers)]
        place = parent / "place"
        (folder / "now.json").write_text(json.dumps([target.name, number]))
        place.mkdir(parents=True)
        (parent / "sentinel.txt").write_text("stays")
        lay(damaged(target.valid(), random.Random(f"{target.name} {number}")), place)
        start = time.process_time()
        found = once(target, place, parent)
        slowest = max(slowest, time.process_time() - start)
        codes[str(found) if isinstance(found, int) else "wrong"] += 1
        if not isinstance(found, int):
            wrong.append([target.name, number, found])
        shutil.rmtree(place)
    return {"codes": dict(codes), "wrong": wrong[:10], "slowest": round(slowest, 2)}


def main(folder: Path, wanted: dict[str, int]) -> None:
    """Read the valid inputs first, which imports what they need; then the damaged ones under limits."""
    warnings.simplefilter("ignore")
    atomic._fsync = lambda fd: None
    every = {kind: readers for kind, readers in targets().items() if kind in wanted}
    for readers in every.values():
        for target in readers:
            place = folder / "valid"
            lay(target.valid(), place)
            target.read(place)
            shutil.rmtree(place)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out: dict[str, Any] = {}
    with bounded_memory():
        for kind, readers in every.items():
            out[kind] = run(readers, wanted[kind], folder)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            seconds = time.process_time()
            facts = {"kinds": out, "grown_mib": round(grown), "seconds": round(seconds)}
            (folder / "outcome.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        {kind: int(count) for kind, _, count in (text.partition("=") for text in sys.argv[2:])},
    )
