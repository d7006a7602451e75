"""A plan on paper: hours and money for a dataset of any size, from unit costs. `python -m benchmarks.costs
[--faces 1000000]`.

Each step's cost for one picture is measured on a core of this machine (`benchmarks.unit_costs`). Two plans:
CPU cores alone, and GPUs that do the networks while the cores of their hosts do the rest. What a GPU does
is **an estimate, not a measurement**: operations that torch counts, over peak speed times the share of it
that such networks reach (`--gpu-tflops`, `--gpu-share`). Prices are parameters: those here are round
numbers, to be replaced by one's own. Time is that of perfect spreading: shards are many, and what comes
after the last one is small. `--units FILE` takes measured unit costs from a file that an earlier call wrote
there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import unit_costs
from benchmarks.unit_costs import Unit
from pipeline.engine.executors import one_thread

METHODS = ("swap-delaunay", "blend-self", "blend-xray", "reenact-warp", "mouth-swap")


@dataclass(frozen=True)
class Amounts:
    """faces: accepted real ones. fakes: of each. draws: faces drawn for an accepted one. tries: fakes made
    for an accepted one. epochs: passes of the training.
    """

    faces: int
    fakes: int
    draws: float
    tries: float
    epochs: int

    def times(self) -> dict[str, float]:
        """How often each unit is needed."""
        images = self.faces * (1 + self.fakes)
        fakes = self.faces * self.fakes
        return {
            "sample: generate": self.faces * self.draws,
            "verify: read a face": self.faces * self.draws,
            "forge: make a fake": fakes * self.tries,
            "forge: gates": fakes * self.tries,
            "pair: encode": images,
            "audit: duplicates": self.faces,
            "audit: features": 4000,
            "train: network": images * self.epochs,
            "train: read, augment": images * self.epochs,
            "release: copy, check": images,
        }


@dataclass(frozen=True)
class Machines:
    """count: of cores, or of GPUs with `host_cores` cores in all. price: of one for an hour. gflops: 10^9
    operations a second that a GPU reaches; 0: there is none.
    """

    count: int
    price: float
    host_cores: int = 0
    gflops: float = 0.0

    def hours(self, unit: Unit, times: float) -> float:
        """Of all together for a step."""
        if self.gflops and unit.gflop:
            return unit.gflop * times / self.gflops / self.count / 3600
        return unit.seconds * times / (self.host_cores or self.count) / 3600


def measured(size: int, side: int, backbone: str, repeats: int) -> dict[str, Unit]:
    """Unit costs by step, on one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        face = unit_costs.verify(size, repeats)
        return {
            "sample: generate": unit_costs.generate(size, repeats),
            "verify: read a face": face,
            "forge: make a fake": unit_costs.forge(size, METHODS, repeats),
            "forge: gates": face,
            "pair: encode": unit_costs.pair(size, repeats),
            "audit: duplicates": unit_costs.audit(size, repeats),
            "audit: features": unit_costs.audit_features(size, repeats),
            "train: network": unit_costs.train(backbone, side, folder, repeats),
            "train: read, augment": unit_costs.read_batch(side, folder, repeats),
            "release: copy, check": unit_costs.release(size, repeats),
        }


def table(units: dict[str, Unit], amounts: Amounts, plans: dict[str, Machines]) -> str:
    """Markdown: unit costs, and hours and money of each plan, with the step that dominates."""
    head = ["step", "times", "core-s each", "GFLOP each", *(f"{name}, h" for name in plans)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    times = amounts.times()
    hours = {
        name: {step: plan.hours(units[step], times[step]) for step in units} for name, plan in plans.items()
    }
    for step, unit in units.items():
        gflop = f"{unit.gflop:.1f}" if unit.gflop else ""
        own = [f"{hours[name][step]:.2f}" for name in plans]
        lines.append(
            f"| {step} | {times[step]:,.0f} | {unit.seconds:.4f} | {gflop} | " + " | ".join(own) + " |"
        )
    totals = {name: sum(by.values()) for name, by in hours.items()}
    lines.append("| **all** | | | | " + " | ".join(f"**{one:.1f}**" for one in totals.values()) + " |")
    lines.append("")
    for name, plan in plans.items():
        step, most = max(hours[name].items(), key=lambda item: item[1])
        cost = totals[name] * plan.count * plan.price
        lines.append(
            f"- {name}: {totals[name]:.1f} hours, {cost:,.0f} at {plan.price:g} for each hour of each; "
            f"{step} takes {100 * most / totals[name]:.0f} % of it."
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, or read what was measured, and print the plan."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=1_000_000, help="accepted real faces")
    parser.add_argument("--fakes", type=int, default=5, help="of each face")
    parser.add_argument("--size", type=int, default=1024, help="side of a picture, pixels")
    parser.add_argument("--draws", type=float, default=1.5, help="faces drawn for each that is accepted")
    parser.add_argument("--tries", type=float, default=1.3, help="fakes made for each that is accepted")
    parser.add_argument("--epochs", type=int, default=1, help="passes of the training over all pictures")
    parser.add_argument("--backbone", default="efficientnet_b4")
    parser.add_argument("--side", type=int, default=256, help="of the detector's input, pixels")
    parser.add_argument("--cores", type=int, default=1000)
    parser.add_argument("--core-price", type=float, default=0.04, help="of a core for an hour")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument(
        "--gpu-price", type=float, default=3.0, help="of a GPU with its share of the host for an hour"
    )
    parser.add_argument(
        "--gpu-tflops",
        type=float,
        default=989.0,
        help="peak, 16 bits; 989 is the data sheet's of an H100 SXM",
    )
    parser.add_argument(
        "--gpu-share", type=float, default=0.1, help="of the peak that is reached: an assumption"
    )
    parser.add_argument("--host-cores", type=int, default=192, help="of all GPUs' hosts together")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--units", type=Path, help="a file of unit costs: read where it is there, else written"
    )
    given = parser.parse_args()
    one_thread()
    if given.units is not None and given.units.is_file():
        units = {name: Unit(**one) for name, one in json.loads(given.units.read_text()).items()}
    else:
        units = measured(given.size, given.side, given.backbone, given.repeats)
        if given.units is not None:
            given.units.write_text(
                json.dumps({name: asdict(one) for name, one in units.items()}, indent=1) + "\n"
            )
    amounts = Amounts(given.faces, given.fakes, given.draws, given.tries, given.epochs)
    speed = given.gpu_tflops * 1000 * given.gpu_share
    plans = {
        f"{given.cores:,} cores": Machines(given.cores, given.core_price),
        f"{given.gpus} GPUs (estimated)": Machines(given.gpus, given.gpu_price, given.host_cores, speed),
    }
    print(table(units, amounts, plans))


if __name__ == "__main__":
    main()
