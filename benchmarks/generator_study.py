"""Discriminators for little compute, side by side: StyleGAN2's own, frozen features beside it, features
alone.

    python -m benchmarks.generator_study --data TRAIN --held-out DEV.parquet --out STUDY --kimg 16,32,48

Every arm trains from scratch on the same images, in the same order, one after another on one thread; each
stops at every number of thousand images, is measured, and goes on exactly. Run again, it goes on where it
was, and `STUDY/table.md` has what is there: images seen, hours of training (from the rates that the run
logged), KID in two feature spaces against training and held-out faces with 95 % intervals. Lite1 and the face
networks are what discriminators see; Lite0 is what no discriminator saw, `attributes` what `faces` has seen a
relative of.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import write_json, write_text
from manifests.seeding import seed_of

KEEP = [
    *("outside_frac<0.1", "abs(yaw_proxy)<0.3", "sharpness>=25", "brightness>=45"),
    *("age!=0-2", "age!=3-9"),
]
ARMS: dict[str, dict[str, Any]] = {
    "stylegan2": {},
    "vision-aided": {"feature_networks": ["efficientnet_lite1"]},
    "projected": {"feature_networks": ["efficientnet_lite1"], "features_alone": True},
    "projected, faces too": {
        "feature_networks": ["efficientnet_lite1", "fairforge-mesh148", "fairforge-small"],
        "features_alone": True,
    },
}
SPACES = ("efficientnet_lite0", "attributes")


def real_features(path: Path, most: int | None, side: int, spaces: dict[str, Any]) -> dict[str, np.ndarray]:
    """Features of clean real faces, by space."""
    from generators.training.images import square
    from pipeline.faces.sources import CLEAN, choose, pictures

    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    share = None if most is None else -(-most // len(paths))
    items = [item for one in paths for item in choose(one, CLEAN, 2026, share)]
    images = np.stack([square(p.image, side) for p in pictures(items) if p.image is not None])
    none = np.zeros((len(images), 148, 2), np.float32)
    return {name: space.features(images, none) for name, space in spaces.items()}


def generated_features(path: Path, count: int, spaces: dict[str, Any]) -> dict[str, np.ndarray]:
    """Features of a generator's faces at psi 1, by space."""
    from generators import load_generator
    from generators.sampling import draw_z, map_latents, synthesize

    model = load_generator(path)
    keys = [("study", index) for index in range(count)]
    images = synthesize(model, map_latents(model, draw_z(2026, keys, model.z_dim)))
    none = np.zeros((len(images), 148, 2), np.float32)
    return {name: space.features(images, none) for name, space in spaces.items()}


def hours(log: Path, until: float) -> float:
    """Of training up to `until` thousand images, from the rates logged."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = pairwise([{"kimg": 0.0}, *[line for line in lines if line["kimg"] <= until + 1e-6]])
    return sum((b["kimg"] - a["kimg"]) * 1000 / b["images_per_second"] for a, b in steps) / 3600


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    columns = [f"KID {space}, {what}" for space in SPACES for what in ("training", "held-out")]
    rows = [
        "| discriminator | thousand images | hours | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (2 + len(columns)),
    ]
    for key, found in results.items():
        arm, _, kimg = key.rpartition(" @ ")
        cells = [
            "{mean:.4f} [{low:.4f}, {high:.4f}]".format(**found[space][what])
            for space in SPACES
            for what in ("training", "held_out")
        ]
        rows.append(f"| {arm} | {kimg} | {found['hours']:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Train, measure, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="training faces: parquet, or a folder of it")
    parser.add_argument("--held-out", type=Path, required=True, help="parquet of faces not trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kimg", default="16,32,48", help="thousand images at which arms are measured")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--count", type=int, default=1000, help="faces generated for each measurement")
    parser.add_argument(
        "--arm", action="append", choices=list(ARMS), help="one arm (repeatable); default: all"
    )
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    import torch

    from generators.quality.kernel import kernel_distance
    from pipeline.commands.generators.training import parse_settings, train_generator
    from pipeline.faces.feature_spaces import FEATURE_SPACES

    torch.set_num_threads(1)
    spaces = {name: FEATURE_SPACES.create(name) for name in SPACES}
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    real = {
        "training": real_features(args.data, 2000, args.resolution, spaces),
        "held_out": real_features(args.held_out, None, args.resolution, spaces),
    }
    results["held-out against training: the floor @ -"] = {
        "hours": 0.0,
        **{
            space: dict.fromkeys(
                real,
                vars(kernel_distance(real["training"][space], real["held_out"][space], seed=args.seed)),
            )
            for space in SPACES
        },
    }
    for kimg in map(float, args.kimg.split(",")):
        for arm in args.arm or ARMS:
            key = f"{arm} @ {kimg:g}"
            if key in results:
                continue
            folder = args.out / arm.replace(", ", "-").replace(" ", "-")
            given = {"batch": 32, "threads": 1, "seed": seed_of(args.seed, "study") % 2**31, **ARMS[arm]}
            phases = [{"resolution": args.resolution, "kimg": kimg}]
            settings = parse_settings(phases, given, ["snapshot_kimg=8"])
            train_generator(
                args.data,
                folder,
                settings,
                start=None,
                keep=KEEP,
                label_column=None,
                conditional=False,
                device="cpu",
                data_note="FairFace",
                quiet=False,
            )
            fake = generated_features(folder / "generator.safetensors", args.count, spaces)
            results[key] = {
                "hours": hours(folder / "metrics.jsonl", kimg),
                **{
                    space: {
                        what: vars(kernel_distance(real[what][space], fake[space], seed=args.seed))
                        for what in real
                    }
                    for space in SPACES
                },
            }
            write_json(file, results)
            write_text(args.out / "table.md", table(results))
            print(table(results), flush=True)


if __name__ == "__main__":
    main()
