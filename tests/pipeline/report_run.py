"""Builds the files of a tiny finished run with drawn pictures and invented figures: what the report reads."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from detector.metrics import rates as metrics
from manifests.atomic import digest_bytes, write_json, write_text
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.schema import origin_counts
from manifests.seeding import rng_of, seed_of
from manifests.store import table_of, write_manifest, write_table
from pipeline.engine.config import Config
from pipeline.engine.config_file import dump_config
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stages import all_stages
from pipeline.stages.evaluate.stage import SCORES

STAGES = [stage for stage in all_stages() if not stage.optional]

FAMILIES = {"swap-delaunay": "swap", "blend-self": "blend", "reenact-warp": "reenact"}
SKIN = {"White": (226, 188, 164), "Black": (112, 74, 56), "Asian": (220, 180, 140), "Indian": (160, 112, 80)}


def drawn_face(race: str, method: str, seed: int, size: int) -> np.ndarray:
    """An oval on a coloured ground with eyes and a mouth; a fake's mouth is shifted."""
    rng = rng_of(seed, "face")
    y, x = np.mgrid[:size, :size] / size
    image = np.full((size, size, 3), rng.integers(60, 200, 3), np.uint8)
    image[((x - 0.5) / 0.33) ** 2 + ((y - 0.52) / 0.42) ** 2 < 1] = SKIN.get(race, (180, 140, 120))
    for eye in (0.36, 0.64):
        image[(x - eye) ** 2 + (y - 0.42) ** 2 < 0.003] = (30, 24, 20)
    shift = {"none": 0.0, "swap-delaunay": 0.03, "blend-self": -0.03}.get(method, 0.06)
    image[(np.abs(x - 0.5 - shift) < 0.13) & (np.abs(y - 0.74) < 0.02 + 0.02 * rng.random())] = (150, 50, 60)
    return image


def _records(config: Config, folder: Path, splits: dict[str, int], codec: str) -> list[ImageRecord]:
    records = []
    (folder / "images").mkdir(parents=True)
    for split, cells in ((s, config.dataset.cells) for s in splits):
        methods = ["none", *config.forge.methods, *(config.forge.held_out if split == "test" else ())]
        for cell in cells:
            race, gender = cell.split("/")
            for k in range(splits[split]):
                pair = f"{split}-{cell.replace('/', '-')}-{k:02d}"
                for method in methods:
                    seed = seed_of(config.run.seed, pair)
                    data = encode(drawn_face(race, method, seed, config.dataset.image_size), codec, 90)
                    image_id = f"{pair}-{method}"
                    path = f"images/{image_id}.{codec}"
                    (folder / path).write_bytes(data)
                    size = config.dataset.image_size
                    records.append(
                        ImageRecord(
                            image_id=image_id,
                            path=path,
                            sha256=digest_bytes(data),
                            width=size,
                            height=size,
                            label=int(method != "none"),
                            method=method,
                            family=FAMILIES.get(method, "none"),
                            race=race,
                            gender=gender,
                            cell=cell,
                            pair_id=pair,
                            identity_id=f"id-{pair}",
                            split=split,
                            codec=codec,
                            quality=90,
                        )
                    )
    return records


def write_dataset(config: Config, folder: Path, splits: dict[str, int], codec: str) -> pa.Table:
    """Images, manifest.parquet and counts.json of a drawn dataset."""
    table = table_of(_records(config, folder, splits, codec), taxonomy=config.dataset.taxonomy)
    write_manifest(table, folder / "manifest.parquet")
    rows = {"/".join(map(str, key)): n for key, n in origin_counts(table).items()}
    write_json(folder / "counts.json", {"rows": rows, "shortfall": {}})
    return table


def _acceptance(config: Config, seed: int) -> dict:
    out = {}
    for cell in config.dataset.cells:
        rng = rng_of(seed, "acceptance", cell)
        rejected = {reason: int(rng.integers(1, 20)) for reason in ("blurred", "wrong_cell", "surplus")}
        out[cell] = {"attempted": 60 + sum(rejected.values()), "accepted": 60, "rejected": rejected}
    return out


def _plain(figures: dict) -> dict:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in figures.items()}


def _around(value: float | None) -> list[float | None]:
    return [None, None] if value is None else [max(0.0, value - 0.1), min(1.0, value + 0.07)]


def _with_intervals(figures: dict) -> dict:
    return {**figures, "intervals": {name: _around(figures[name]) for name in ("AUC", "ACC", "TPR", "FPR")}}


def _gaps(groups: dict[str, dict]) -> dict:
    def apart(metric: str) -> float | None:
        values = [group[metric] for group in groups.values() if group[metric] is not None]
        return max(values) - min(values) if len(values) > 1 else None

    gaps = {"F_FPR": apart("FPR"), "F_OAE": apart("ACC"), "F_DP": apart("PR")}
    gaps["F_MEO"] = max(apart("TPR"), gaps["F_FPR"])
    return {
        **gaps,
        "groups_used": len(groups),
        "intervals": {name: _around(value) for name, value in gaps.items()},
        "null": {
            name: {
                "mean": value / 2,
                "p95": value * 0.9,
                "p": 0.04,
                "p_bounds": [0.03, 0.05] if name == "F_OAE" else [0.039, 0.041],
            }
            for name, value in gaps.items()
        },
        "corrected": {name: value * 0.7 for name, value in gaps.items()},
        "detectable": {name: value * 1.2 for name, value in gaps.items()},
    }


def measured(rows: list[dict], scores: np.ndarray) -> dict:
    """Utility, groups and gaps of scored rows in the shape of `evaluate/results.json`; intervals are
    invented.
    """
    y, groups = np.array([row["label"] for row in rows]), {}
    for kind in ("race", "gender", "cell"):
        of_row = np.array([row[kind] for row in rows])
        names = sorted(set(of_row.tolist()))
        groups[kind] = {
            n: _with_intervals(_plain(metrics.utility(y[of_row == n], scores[of_row == n]))) for n in names
        }
    return {
        "utility": _with_intervals(_plain(metrics.utility(y, scores))),
        "groups": groups,
        "gaps": {kind: _gaps(found) for kind, found in groups.items()},
        "not_estimable": [
            {"kind": "cell", "group": name, "figures": ["gaps"], "reason": "3 clusters, fewer than 5", "n": 9}
            for name in ("White/Male", "Black/Male")
        ],
    }


def _evaluate(config: Config, root: Path, tables: dict[str, pa.Table]) -> None:
    results, constant, scores = {}, {}, []
    held_out = config.forge.held_out
    for base, table in tables.items():
        rows = [row for row in table.to_pylist() if row["split"] == "test"]
        for name, keep in (
            (base, lambda r: r["method"] not in held_out),
            (f"{base}-heldout", lambda r: r["label"] == 0 or r["method"] in held_out),
        ):
            mine = [row for row in rows if keep(row)]
            rng = rng_of(config.run.seed, "scores", name)
            signal = 1.6 if base == "test" else 0.8
            raw = (
                np.array([signal * row["label"] for row in mine])
                + rng.standard_normal(len(mine))
                - signal / 2
            )
            values = (1 / (1 + np.exp(-raw))).astype(np.float32)
            results[name] = {
                **measured(mine, values),
                "methods": sorted({r["method"] for r in mine} - {"none"}),
            }
            constant[name] = measured(mine, np.ones(len(mine)))
            scores += [
                {
                    **{k: row[k] for k in SCORES.names if k not in ("dataset", "score")},
                    "dataset": name,
                    "score": float(v),
                }
                for row, v in zip(mine, values, strict=True)
            ]
    write_table(pa.Table.from_pylist(scores, schema=SCORES), root / "evaluate" / "scores.parquet")
    write_json(
        root / "evaluate" / "results.json",
        {
            "threshold": {"policy": "fixed", "value": 0.5},
            "datasets": results,
            "constant_predictor": constant,
        },
    )


def _train(config: Config, root: Path, epochs: int) -> None:
    lines = [
        {
            "epoch": e,
            "steps": 20,
            "loss": 0.75 / e**0.5 + 0.1,
            "val_auc": 0.97 - 0.4 / e,
            "val_accuracy": 0.9 - 0.3 / e,
            "val_race_accuracy": None,
        }
        for e in range(1, epochs + 1)
    ]
    write_text(
        root / "detector" / "metrics.jsonl", "\n".join(json.dumps(line, sort_keys=True) for line in lines)
    )
    write_json(
        root / "detector" / "training.json",
        {
            "kept_epoch": epochs,
            "val_auc": lines[-1]["val_auc"],
            "settings": {"epochs": epochs},
            "sha256": {"checkpoint": "c" * 64},
        },
    )


def _audit(config: Config) -> dict:
    """A passed report in the shape of `manifests.audit.audit_manifest`."""
    names = [
        "real or fake",
        "real or blend-self",
        *(f"real or fake in {cell}" for cell in config.dataset.cells),
        *(f"{cell} or another cell" for cell in config.dataset.cells),
    ]
    questions = {}
    for k, (name, kind) in enumerate((name, kind) for name in names for kind in ("file", "pixel")):
        auc = 0.45 + 0.01 * k
        questions[f"{name} ({kind})"] = {
            "n": 40 + k,
            "auc": auc,
            "low": auc - 0.05,
            "high": auc + 0.05,
            "feature": "bytes",
            "feature_auc": 0.5 + k / 500,
            "limit": 0.6,
            "above_limit": auc - 0.05 > 0.6,
        }
    figures = {"images": 40, "file_limit": 0.6, "pixel_limit": 0.6, "questions": questions}
    return {
        "passed": True,
        "audits": {
            "balance": {
                "passed": True,
                "findings": [],
                "figures": {"images": 40, "test_per_cell_and_method": [3]},
            },
            "shortcut": {"passed": True, "findings": [], "figures": figures},
        },
    }


def make_run(root: Path, config: Config, *, splits: dict[str, int], epochs: int = 3) -> RunDirectory:
    """A finished run under `root`, but for the report."""
    run = RunDirectory(root, config)
    write_text(root / "config.toml", dump_config(config))
    write_json(
        root / "cells" / "cells.json",
        {
            cell: {"confident_latents": 300 + 11 * k, "hit_rate": round(0.6 + 0.043 * k, 4)}
            for k, cell in enumerate(config.dataset.cells)
        },
    )
    write_json(root / "verify" / "acceptance.json", _acceptance(config, config.run.seed))
    write_json(root / "cross" / "verify" / "acceptance.json", _acceptance(config, config.run.seed + 1))
    own = write_dataset(config, root / "dataset", splits, config.pair.codec)
    other = write_dataset(config, root / "cross" / "dataset", {"test": splits["test"]}, config.cross.codec)
    write_json(root / "audit" / "audit.json", _audit(config))
    _train(config, root, epochs)
    _evaluate(config, root, {"test": own, "cross-synthetic": other})
    write_text(root / "release" / "data" / "SHA256SUMS", "0" * 64 + "  README.md")
    weights = {"cells": {"generator": "a" * 64}, "verify": {"attribute_model": "b" * 64}}
    for stage in STAGES:
        write_json(
            run.folder(stage.name) / "done" / "stage.json",
            {
                "key": "k",
                "parts": {"weights": weights.get(stage.name, {})},
                "summary": {},
                "digest": digest_bytes(stage.name.encode()),
                "outputs": {"data/SHA256SUMS": digest_bytes(b"sums")},
            },
        )
    return run
