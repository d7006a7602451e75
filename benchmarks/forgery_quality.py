"""What fakes do to identity, motion and seams: `python benchmarks/forgery_quality.py RUN [--methods ...]
[--targets 48]`.

RUN is a run directory whose stage `verify` is done. Each method makes one fake of each target, with the first
second face that it does not refuse, and no gate. Prints one JSON line per method: the share of swaps whose
identity embedding is nearer the source than the target; of reenactments the share within
`forge.max_identity_drift` of the target, the share of the driver's motion that arrived (5th, 50th and 95th
percentile) and how many brought half of it; the seam; the mask's share.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from generators.forgeries import FORGERIES
from manifests.errors import DataError
from manifests.seeding import rng_of
from pipeline.engine.config_file import load_config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Context
from pipeline.faces.landmark_batches import alone
from pipeline.stages.forge.gates import Figures
from pipeline.stages.forge.making import Item, Maker, attempts
from pipeline.stages.forge.stage import ForgeStage


def first_fake(maker: Maker, item: Item, reasons: Counter[str]) -> Figures | None:
    """The figures of the first fake that the method makes of a target; what it refuses is counted."""
    for seed, partner in attempts(item):
        try:
            return alone(maker.reader, maker.make(item, seed, partner))[1]
        except DataError as error:
            reasons[getattr(error, "reason", "unusable_face")] += 1
    return None


def summary(name: str, found: list[Figures], drift: float) -> dict[str, Any]:
    """One line of figures."""
    family = FORGERIES.get(name).family

    def rounded(values: list[float]) -> list[float]:
        return [round(float(v), 2) for v in np.percentile(values, [5, 50, 95])]

    out: dict[str, Any] = {"method": name, "family": family, "fakes": len(found)}
    if not found:
        return out
    out |= {"seam": rounded([f.seam for f in found]), "mask_share": rounded([f.mask_share for f in found])[1]}
    known = [(f.to_target, f.to_other) for f in found if f.to_target is not None and f.to_other is not None]
    if known:
        out |= {"to_target": rounded([t for t, _ in known])[1], "to_other": rounded([o for _, o in known])[1]}
    if family == "swap" and known:
        out["nearer_source"] = round(float(np.mean([o < t for t, o in known])), 3)
    if family == "reenact" and known:
        moved = [f.transferred for f in found if f.transferred is not None]
        out |= {
            "identity_kept": round(float(np.mean([t <= drift for t, _ in known])), 3),
            "transferred": rounded(moved),
            "half_transferred": round(float(np.mean([m >= 0.5 for m in moved])), 3),
        }
    return out


def main() -> None:
    """Measure the methods on a run's accepted faces."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--targets", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0, help="which targets: of two seeds, mostly others")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=FORGERIES.names(),
        default=[e.name for e in FORGERIES.entries() if not e.facts["files"]],
    )
    arguments = parser.parse_args()
    config = load_config(arguments.run / "config.toml")
    config = config.with_values(forge={"methods": tuple(arguments.methods), "held_out": (), "gates": True})
    run = RunDirectory(arguments.run, config)
    stage = ForgeStage()
    with Executor("local", 1) as executor:
        context = Context(run, executor, Reporter(quiet=True))
        forging = stage.forging(context)
    maker = Maker(forging)
    items = stage.items(run)
    chosen = {item.target.image_id for item in items}
    order = rng_of(arguments.seed, "forgery-quality").permutation(len(chosen))
    chosen = {
        name for name, rank in zip(sorted(chosen), order.tolist(), strict=True) if rank < arguments.targets
    }
    for name in arguments.methods:
        reasons: Counter[str] = Counter()
        mine = [item for item in items if item.method == name and item.target.image_id in chosen]
        found = [figures for item in mine if (figures := first_fake(maker, item, reasons)) is not None]
        line = summary(name, found, run.config.forge.max_identity_drift)
        print(
            json.dumps({**line, "targets": len(mine), "refused_tries": dict(sorted(reasons.items()))}),
            flush=True,
        )


if __name__ == "__main__":
    main()
