"""`status`: per stage and shard what is done, running and failed, how fast, and how much longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manifests.escaping import one_line
from pipeline.commands.inspection import open_run
from pipeline.commands.talking import AGAIN, CLIPS
from pipeline.engine.attempts import count_of, failed, running
from pipeline.engine.executors.slurm_chain import chain_text, read_chain
from pipeline.engine.markers import shard_markers
from pipeline.engine.progress import duration
from pipeline.engine.progress_file import read_progress
from pipeline.engine.run_directory import read_json
from pipeline.engine.stage import finished_marker
from pipeline.engine.stages import skipped, stages_of

LATEST = 64
"""Shards that a rate goes by: those that were done last."""


def _rate(folder: Path) -> float | None:
    """Shards a second, by the times at which the last ones were done; None where that cannot be told."""
    times = []
    for _, path in shard_markers(folder):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    times = sorted(times)[-LATEST:]
    spent = max(times) - min(times) if len(times) > 1 else 0.0
    return (len(times) - 1) / spent if spent > 0 else None


def shards_of(folder: Path, finished: bool) -> dict[str, Any]:
    """The shards of a stage: `total` (0 where nobody knows yet), `done`, `running`, `failed`, `per_second`,
    `seconds_left`.

    finished: whether the stage is; nothing of it runs then.
    """
    done = sum(1 for _ in shard_markers(folder))
    going = [] if finished else running(folder)
    bad = [] if finished else failed(folder)
    total = done if finished else count_of(folder)
    rate = _rate(folder) if going else None
    kept = ("shard", "host", "pid", "seconds")
    return {
        "total": total,
        "done": done,
        "running": [{key: one.get(key) for key in kept} for one in going],
        "failed": [{key: one.get(key) for key in ("shard", "error", "log")} for one in bad],
        "per_second": None if rate is None else round(rate, 4),
        "seconds_left": round((total - done) / rate, 1) if rate and total else None,
    }


def _shards_text(shards: dict[str, Any]) -> str:
    """`12 of 40 shards, 3 running, 1 failed, 0.8 shards/s, 35 s left`."""
    total, done = shards["total"], shards["done"]
    parts = [f"{done} of {total} shards" if total and done < total else f"{done:>5} shards"]
    parts += [f"{len(shards[kind])} {kind}" for kind in ("running", "failed") if shards[kind]]
    if shards["per_second"]:
        parts.append(f"{shards['per_second']:.2g} shards/s")
    if shards["seconds_left"] is not None:
        parts.append(f"{duration(shards['seconds_left'])} left")
    return ", ".join(parts)


def status_of(out: Path) -> tuple[list[dict[str, Any]], str]:
    """Per stage: finished or not, its shards, figures, what is being done now; as values and as text.

    Raises:
        MissingError: there is no run.
    """
    run, now = open_run(out), read_progress(out)
    values: list[dict[str, Any]] = []
    lines = []
    left_out, stages = skipped(run.config), stages_of(run.config)
    width = max([9, *map(len, (*left_out, *(stage.name for stage in stages)))])
    for name, why in left_out.items():
        none: dict[str, Any] = {
            "shards_done": 0,
            "shards": shards_of(run.folder(name) / "-", True),
            "now": [],
        }
        values.append({"stage": name, "state": "skipped", "summary": {"why": why}, **none})
        lines.append(f"{name:<{width}} {'skipped':<12} {why}")
    for stage in stages:
        folder = stage.folder(run)
        name = CLIPS if CLIPS in read_json(folder / "key.json").get("config", {}) else stage.name
        marker = finished_marker(run, stage.name)
        shards = shards_of(folder, bool(marker))
        state = "finished" if marker else "started" if folder.exists() else "not started"
        summary = marker.get("summary", {})
        values.append(
            {
                "stage": name,
                "state": state,
                "shards_done": shards["done"],
                "shards": shards,
                "summary": summary,
                "now": [one for one in now if name == one["label"].partition(":")[0]],
            }
        )
        figures = ", ".join(f"{k} {v}" for k, v in summary.items())
        lines.append(one_line(f"{name:<{width}} {state:<12} {_shards_text(shards)}  {figures}".rstrip()))
        lines += [
            one_line(
                f"{'':<{width}} shard {one['shard']} is running on {one['host']}"
                f" for {duration(one['seconds'])}"
            )
            for one in shards["running"]
        ]
        lines += [
            one_line(f"{'':<{width}} shard {one['shard']} failed: {one['error']}") for one in shards["failed"]
        ]
    chain = read_chain(out)
    for value in values:
        if chain and value["stage"] == chain.get("stage"):
            value["detached"] = {key: chain.get(key) for key in ("state", "array", "job", "left", "message")}
    lines += [chain_text(chain)] if chain else []
    lines += [one_line(f"now: {one['text']} ({one['process']})") for one in now]
    bad = {value["stage"] == CLIPS for value in values if value["shards"]["failed"]}
    lines += [f"do the failed shards again: fairforge retry --out {out}"] if False in bad else []
    lines += [f"do the failed clips again: {AGAIN}"] if True in bad else []
    return values, "\n".join(lines)


def watch_status(out: Path, interval: float, show: Callable[[list[dict[str, Any]], str], None]) -> None:
    """Show the status every `interval` seconds until every stage is finished, or skipped.

    Raises:
        MissingError: there is no run.
    """
    while True:
        values, text = status_of(out)
        show(values, text)
        if all(value["state"] in ("finished", "skipped") for value in values):
            return
        time.sleep(interval)
