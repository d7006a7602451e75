"""`fairforge import`, `gather`, `check-release` and `diff-release`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from manifests.adapters import ADAPTERS, import_images
from manifests.adapters.importing import Crop
from manifests.errors import UsageError
from manifests.escaping import one_line
from manifests.gathering import gather
from manifests.release import check_release, difference, unchecked
from pipeline.engine.config_file import parse_set


@dataclass(frozen=True)
class Faces:
    """What to do about faces: `auto` crops frames of videos as they were filmed, `none` nothing, a detector's
    name everything.
    """

    detector: str = "auto"
    style: str = "box"
    margin: float = 1.3


def _crop(faces: Faces, size: int | None, device: str) -> Crop | None:
    if faces.detector == "none":
        return None
    from pipeline.faces.frame_crops import FrameCropper

    name = "mtcnn" if faces.detector == "auto" else faces.detector
    style = cast(Literal["box", "aligned"], faces.style)
    return FrameCropper(name, faces.margin, style, size or 256, every=faces.detector != "auto", device=device)


def takes_clips(adapter: str) -> bool:
    """Whether an adapter brings clips with their sound, which are linked or copied as they are.

    Raises:
        UsageError: an unknown adapter.
    """
    return bool(ADAPTERS.get(adapter).facts.get("media") == "video")


def import_dataset(
    adapter: str,
    source: Path,
    out: Path,
    taxonomy: str | None,
    params: dict[str, Any],
    faces: Faces,
    size: int | None,
    codec: str,
    quality: int | None,
    device: str,
) -> tuple[dict[str, Any], str]:
    """Read `source` by an adapter into a manifest under `out`.

    size: of every image; None keeps crops as they are.
    """
    clips = takes_clips(adapter)
    crop = None if clips else _crop(faces, size, device)
    if crop is not None:
        from pipeline.engine.executors import one_thread

        one_thread()
    result = import_images(
        adapter, source, out, taxonomy, params, codec=codec, quality=quality, size=size, crop=crop
    )
    unit = "clips" if clips else "images"
    text = f"{result.manifest} ({result.n_images} {unit}, {result.n_skipped} skipped)"
    value = {
        "manifest": str(result.manifest),
        unit: result.n_images,
        "skipped": result.n_skipped,
        "warnings": list(result.warnings),
    }
    return value, "\n".join([*(f"warning: {one_line(warning)}" for warning in result.warnings), text])


def split_shares(texts: list[str]) -> dict[str, float]:
    """`SPLIT=SHARE` texts as shares.

    Raises:
        UsageError: one is of another form.
    """
    out = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            out[name.strip()] = float(share)
        except ValueError:
            raise UsageError(
                f"--share {text}", "is not SPLIT=SHARE", "write for example --share train=0.8"
            ) from None
    return out


def gather_manifests(
    sources: list[Path],
    out: Path,
    shares: list[str],
    per_cell: int | None,
    seed: int,
    split: str | None,
    without: list[Path],
) -> tuple[dict[str, Any], str]:
    """Several manifests of real faces into one below `out`; see `manifests.gathering.gather`."""
    made = gather(
        sources, out, shares=split_shares(shares), per_cell=per_cell, seed=seed, split=split, without=without
    )
    left = "".join(f", {count} left out: {reason}" for reason, count in made.left_out.items() if count)
    return {
        "manifest": str(made.manifest),
        "images": made.images,
        "left_out": dict(made.left_out),
    }, f"{made.manifest} ({made.images} images{left})"


def adapter_params(sets: list[str], **flags: Any) -> dict[str, Any]:
    """An adapter's parameters out of key=value texts and of the flags that are given."""
    return {
        **{".".join(path): value for path, value in map(parse_set, sets)},
        **{name: value for name, value in flags.items() if value not in (None, [])},
    }


def check_layout(adapter: str, source: Path, params: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Findings about what is missing of a dataset's layout; nothing is imported."""
    found = ADAPTERS.create(adapter, params).check(source)
    values = [{"code": f.code, "message": f.message} for f in found]
    return values, "\n".join(
        one_line(f.message) for f in found
    ) or f"{source}: the layout of {adapter} is whole"


def check_folder(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Findings about a release folder; none when all is well."""
    found = check_release(folder)
    values = [{"code": f.code, "message": f.message, "count": f.count, "ids": list(f.ids)} for f in found]
    lines = [*map(one_line, found)] or [f"{folder}: whole"]
    return values, "\n".join([*lines, *(f"not checked: {one_line(reason)}" for reason in unchecked())])


def diff_folders(old: Path, new: Path) -> tuple[dict[str, Any], str]:
    """What differs between two releases, as values and as text; errors as `difference.compare_releases`."""
    found = difference.compare_releases(old, new)
    return difference.as_json(found), "\n".join(map(one_line, difference.as_text(found).split("\n")))
