"""Error sheets: of every cell the real pictures that were called fake most surely, and the fakes that were
missed most surely.

A missed fake stands beside the real picture that it was made of.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manifests.containment import inside
from manifests.errors import MissingError
from manifests.images import Image, encode, read_image, resize
from manifests.schema import PHOTOGRAPH, first_levels
from manifests.store import manifest_file, read_images
from pipeline.report import values
from pipeline.report.contact_sheet import GAP, GREY
from pipeline.report.dataset_sections import method_name
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import CROSS_MANIFEST, MANIFEST, SCORES, RunFiles, needed
from pipeline.report.tables import Section, figure

HELD_OUT = "-heldout"
MOST_PIXELS, QUALITY = 128, 90
SHOWN_ID = 12


@dataclass(frozen=True)
class Error:
    """One picture on the wrong side of the threshold."""

    image_id: str
    cell: str
    label: int
    method: str
    score: float


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of an evaluated manifest lie. `file`: its name in the run; `stage`: who made it."""

    file: str
    stage: str
    folder: Path
    paths: Mapping[str, str]
    real_of: Mapping[str, str]
    photographs: bool


def evaluated_manifests(files: RunFiles) -> dict[str, tuple[str, str]]:
    """Names of the evaluated datasets without their held-out halves: file of the manifest and the stage that
    made it.

    Parts by origin are left out: their pictures are those of the whole.
    """
    names = [name for name in files.datasets if not name.endswith(HELD_OUT)]
    whole = [
        name for name in names if not any(name != other and name.startswith(f"{other}-") for other in names)
    ]
    own = {name: (MANIFEST, "pair") for name in whole if name.startswith("test")}
    other = {name: (CROSS_MANIFEST, "cross") for name in whole if name.startswith("cross-")}
    return own | (other if files.cross_acceptance is not None else {})


def pictures_of(run: Any, file: str, stage: str) -> Pictures:
    """Paths by image, and for each fake the real picture of its pair."""
    path = needed(run, file, stage)
    rows = (
        first_levels(read_images(path)).select(["image_id", "path", "label", "pair_id", "origin"]).to_pylist()
    )
    real = {
        row["pair_id"]: row["image_id"] for row in rows if row["label"] == 0 and row["pair_id"] is not None
    }
    return Pictures(
        file,
        stage,
        manifest_file(path).parent,
        {row["image_id"]: row["path"] for row in rows},
        {
            row["image_id"]: real[row["pair_id"]]
            for row in rows
            if row["label"] == 1 and row["pair_id"] in real
        },
        any(row["origin"] == PHOTOGRAPH for row in rows),
    )


def worst_errors(files: RunFiles, name: str, threshold: float) -> dict[str, tuple[list[Error], list[Error]]]:
    """By cell: false positives, highest score first, and misses, lowest score first, of a dataset and its
    held-out half.
    """
    seen: dict[str, Error] = {}
    for row in files.scores.to_pylist():
        if row["dataset"] in (name, f"{name}{HELD_OUT}") and row["cell"] is not None:
            seen[row["image_id"]] = Error(
                *(row[key] for key in ("image_id", "cell", "label", "method", "score"))
            )
    out: dict[str, tuple[list[Error], list[Error]]] = {}
    for error in sorted(seen.values(), key=lambda one: one.image_id):
        alarms, misses = out.setdefault(error.cell, ([], []))
        if error.label == 0 and error.score >= threshold:
            alarms.append(error)
        elif error.label == 1 and error.score < threshold:
            misses.append(error)
    for alarms, misses in out.values():
        alarms.sort(key=lambda one: -one.score)
        misses.sort(key=lambda one: one.score)
    return out


def _read(files: RunFiles, pictures: Pictures, image_id: str) -> Image:
    if image_id not in pictures.paths:
        raise MissingError(
            f"image {image_id} of {SCORES}",
            f"is not in {pictures.file}",
            f"fairforge run --out {files.run.root} --from evaluate",
        )
    name = pictures.paths[image_id]
    path = inside(pictures.folder, name)
    needed(files.run, f"{Path(pictures.file).parent.as_posix()}/{name}", pictures.stage)
    return read_image(path)


def _tile(files: RunFiles, pictures: Pictures, error: Error) -> Html:
    shown = [error.image_id]
    if error.label == 1 and error.image_id in pictures.real_of:
        shown.append(pictures.real_of[error.image_id])
    images = [_read(files, pictures, one) for one in shown]
    side = min(max(image.shape[0] for image in images), MOST_PIXELS)
    gap = np.full((side, GAP, 3), GREY[0], np.uint8)
    whole = resize(images[0], side)
    if len(images) > 1:
        whole = np.concatenate([whole, gap, resize(images[1], side)], 1)
    data = base64.b64encode(encode(whole, "webp", QUALITY)).decode()
    method = method_name(error.method, files.run.config.forge.held_out)
    what = (
        f"{'real face' if error.label == 0 else f'fake by {method}'} of {error.cell}, score {error.score:.3f}"
    )
    beside = "; right: the real picture it was made of" if len(images) > 1 else ""
    picture = tag(
        "img", src=f"data:image/webp;base64,{data}", alt=f"{what}{beside}", width=whole.shape[1], height=side
    )
    said = tag("span", tag("code", error.image_id[:SHOWN_ID]), " ", values.decimal(error.score))
    return tag("li", picture, said, Html("") if error.label == 0 else tag("span", method, class_="muted"))


def _strip(
    files: RunFiles, pictures: Pictures, title: str, errors: Sequence[Error], n: int, none: str
) -> Html:
    most = files.run.config.report.errors
    head = tag("h5", title, tag("span", f" {len(errors)} of {n}", class_="muted"))
    if not errors:
        return tag("div", head, tag("p", none, class_="note"), class_="strip")
    return tag(
        "div",
        head,
        tag("ul", *(_tile(files, pictures, one) for one in errors[:most]), class_="errors"),
        class_="strip",
    )


def _sheet(files: RunFiles, name: str, file: str, stage: str, threshold: float) -> Html:
    pictures = pictures_of(files.run, file, stage)
    found = worst_errors(files, name, threshold)
    label_of = {
        row["image_id"]: (row["cell"], row["label"])
        for row in files.scores.to_pylist()
        if row["dataset"] in (name, f"{name}{HELD_OUT}")
    }
    counts = {key: list(label_of.values()).count(key) for key in set(label_of.values())}
    order = [
        *(cell for cell in files.cell_names if cell in found),
        *sorted(set(found) - set(files.cell_names)),
    ]
    cells = []
    for cell in order:
        alarms, misses = found[cell]
        strips = (
            _strip(
                files,
                pictures,
                "Real, called fake",
                alarms,
                counts.get((cell, 0), 0),
                "No real picture was called fake.",
            ),
            _strip(files, pictures, "Fake, missed", misses, counts.get((cell, 1), 0), "No fake was missed."),
        )
        cells.append(tag("div", tag("h4", cell), *strips, class_="wrong"))
    caption = (
        f"{name}, its held-out forgeries too: the worst errors of each cell, worst first, with image id and"
        " score. Right of a missed fake: the real picture that it was made of."
    )
    if pictures.photographs:
        caption += (
            " These are photographs of people: see what their licence asks before you give this page away."
        )
    return join(
        [tag("h3", name), figure(caption, tag("div", *cells, class_="wrongs"), [SCORES, file], above=True)]
    )


def error_sheets(files: RunFiles) -> Section:
    """The worst false positives and misses of every cell, dataset by dataset."""
    threshold = files.results["threshold"].get("value")
    if not files.run.config.report.errors:
        return Section("errors", "Worst errors", paragraphs("Left out: report.errors is 0."))
    if not values.is_number(threshold):
        return Section(
            "errors", "Worst errors", paragraphs("The run has no threshold, so nothing is an error.")
        )
    intro = paragraphs(
        join(
            [
                "Pictures on the wrong side of the threshold, ",
                values.decimal(threshold),
                ". They were not chosen by eye; a cell with fewer errors has fewer pictures. ",
                tag("code", "fairforge inspect ID"),
                " tells where a picture of the run's own ",
                "dataset comes from.",
            ]
        )
    )
    sheets = (_sheet(files, name, *where, threshold) for name, where in evaluated_manifests(files).items())
    return Section("errors", "Worst errors", join([intro, *sheets]))
