"""`fairforge av rewrite`: the clips of a manifest through one encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.clips.rewriting import Rewrite, rewrite
from manifests.errors import UsageError
from manifests.locks import writing_alone
from manifests.watching import watch_by
from pipeline.engine.progress import Reporter


def silence_range(text: str) -> tuple[float, float]:
    """`0.025,0.03` as least and most seconds.

    Raises:
        UsageError: of another form.
    """
    try:
        low, _, high = text.partition(",")
        return float(low), float(high or low)
    except ValueError:
        raise UsageError(
            f"--plant-silence {text}", "is not LEAST,MOST in seconds", "for example 0.025,0.03"
        ) from None


def rewrite_clips(
    manifest: Path, out: Path, how: Rewrite, *, quiet: bool = False
) -> tuple[dict[str, Any], str]:
    """Write the clips anew; see `manifests.clips.rewriting.rewrite`."""
    reporter = Reporter(quiet=quiet)
    with writing_alone(out), watch_by(reporter.watch("rewrite")):
        made = rewrite(manifest, out, how)
    value = {"manifest": str(made.manifest), "clips": made.clips, "skipped": len(made.skipped)}
    return value, f"{made.manifest} ({made.clips} clips, {len(made.skipped)} left out: {out / 'skipped.csv'})"
