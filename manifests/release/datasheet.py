"""`DATASHEET.md`: the questions of Gebru et al.

(Datasheets for Datasets, CACM 2021), answered from the manifest and the giver's words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.balance import check_balance
from manifests.clip_columns import clip_rows, image_rows
from manifests.columns import counted, distinct
from manifests.escaping import markdown, markdown_code
from manifests.release.info import ReleaseInfo
from manifests.release.words import INTENDED, MISUSE, PERCEIVED
from manifests.schema import PHOTOGRAPH, metadata_of, with_later_columns

SECTIONS = (
    "Motivation",
    "Composition",
    "Collection process",
    "Preprocessing, cleaning, labelling",
    "Uses",
    "Distribution",
    "Maintenance",
)
UNSAID = "Not stated by its creators."
Answers = list[tuple[str, str]]


def _values(table: pa.Table, column: str) -> str:
    counts = Counter({value: n for value, n in counted(table[column]).items() if value is not None})
    return ", ".join(f"{markdown(value)} ({count})" for value, count in sorted(counts.items())) or "none"


def _motivation(info: ReleaseInfo) -> Answers:
    return [
        ("For what purpose was the dataset created?", INTENDED),
        ("Who created it?", markdown(", ".join(info.creators)) + "."),
        ("Who funded it?", UNSAID),
        ("What is it, in its creators' words?", markdown(info.description)),
    ]


def _composition(table: pa.Table, withdrawn: Sequence[Mapping[str, Any]]) -> Answers:
    real = table.select(["origin", "consent"]).filter(pc.equal(table["label"], 0))
    people = PHOTOGRAPH in distinct(real["origin"])
    asked = ("race", "gender", "age", "cell", "split", "licence", "consent", "origin")
    lacking = [name for name in asked if table[name].null_count]
    short = check_balance(table)
    return [
        (
            "What do the instances represent?",
            (
                f"Pictures of one face each: {image_rows(table).num_rows} images and"
                f" {clip_rows(table).num_rows} clips, of which {real.num_rows} are real (not forged) and"
                f" {table.num_rows - real.num_rows} are forgeries."
            ),
        ),
        (
            "Is it a sample of a larger set?",
            (
                "Yes: faces were drawn or chosen per cell of perceived race and gender until each cell had"
                " its number. It is balanced by design, and represents no population."
            ),
        ),
        (
            "What does an instance consist of?",
            "A picture, a row of `manifest.parquet`, and for most forgeries a mask of what was changed.",
        ),
        (
            "Is there a label?",
            (
                f"`label`: 0 real, 1 fake. Methods: {_values(table, 'method')}. Families:"
                f" {_values(table, 'family')}."
            ),
        ),
        (
            "Is information missing?",
            (
                f"Columns without a value in some rows: {', '.join(lacking) or 'none'}. Unknown is null,"
                " never made up."
            ),
        ),
        (
            "Are relations between instances explicit?",
            (
                "Yes: `target_id`, `source_id`, `driver_id` name what a forgery was made of; `pair_id` joins"
                " a real image and its fakes; `identity_id` joins the images of one face."
            ),
        ),
        ("Are there recommended splits?", f"`split`: {_values(table, 'split')}."),
        (
            "Are there errors, noise or redundancies?",
            "Cells are as good as what assigned them (README.md has the measured errors where they are"
            " known). "
            + (
                f"Not balanced: {markdown(short[0].message)}."
                if short
                else "Cells, methods and splits are balanced, by count."
            ),
        ),
        (
            "Does it identify subpopulations?",
            f"By perceived attributes: {_values(table, 'cell')}. {PERCEIVED}",
        ),
        (
            "Does it contain pictures of people?",
            f"Real images by origin: {_values(real, 'origin')}. "
            + (
                f"Photographs show people; their consent, as far as it is known: {_values(real, 'consent')}."
                if people
                else f"Consent: {_values(real, 'consent')}."
            ),
        ),
        (
            "Was anything withdrawn?",
            "; ".join(
                f"{markdown_code(one['id'])}: {markdown(one['reason'])} ({len(one['images'])} images)"
                for one in withdrawn
            )
            or "No.",
        ),
    ]


def _collection(table: pa.Table) -> Answers:
    return [
        (
            "How was the data acquired?",
            (
                f"Faces by generators: {_values(table, 'generator')}; sources: {_values(table, 'dataset')}."
                " Forgeries were computed of them."
            ),
        ),
        ("Over what time?", UNSAID),
        (
            "Were the people concerned notified, and did they consent?",
            f"Column `consent` of each image: {_values(table, 'consent')}.",
        ),
        ("Were ethical reviews made?", UNSAID),
    ]


def _labelling(table: pa.Table) -> Answers:
    return [
        (
            "What was done to the pictures?",
            (
                "Crops of one face; real and fake left through one encoder call, with one draw of quality"
                f" per pair. Codecs: {_values(table, 'codec')}."
            ),
        ),
        (
            "Who or what labelled them?",
            (
                f"{_values(table, 'attribute_source')}; taxonomy"
                f" {markdown(metadata_of(table).get('taxonomy'))}. `inherited`: of a forgery, from the face"
                " that was changed."
            ),
        ),
        (
            "Was raw data kept?",
            (
                "The manifest names each image's generator, seed and psi, or its source; raw pictures are not"
                " part of it."
            ),
        ),
    ]


def _uses() -> Answers:
    return [
        ("What is it for?", INTENDED),
        ("What should it not be used for?", MISUSE),
        (
            "What may affect future uses?",
            (
                "A detector trained on it learns traces of these methods and of this generator; results on it"
                " say little of other data."
            ),
        ),
    ]


def _distribution(table: pa.Table, info: ReleaseInfo) -> Answers:
    return [
        ("How is it distributed?", markdown(info.url) if info.url else "As this folder."),
        ("When?", info.date or UNSAID),
        (
            "Under which licence?",
            (
                f"{markdown(info.licence)} for the compilation; of each image: {_values(table, 'licence')}"
                " (`LICENSES.csv`, `LICENSES.md`)."
            ),
        ),
    ]


def _maintenance(info: ReleaseInfo) -> Answers:
    where = markdown(info.contact) if info.contact else UNSAID
    return [
        ("Who maintains it, and how are they reached?", where),
        (
            "How is an image taken out?",
            (
                "Write to its maintainers (above) with the `image_id` or the `identity_id`. The next version"
                " goes without the image, all images of that identity and all that was forged of them, and"
                " `release.json` names the ids under `withdrawn`, in that and in every later version."
            ),
        ),
        (
            "How is it revised?",
            (
                "By versions MAJOR.MINOR.PATCH: records taken out or changed raise the first, records added"
                " the second, another packaging of the same data the third. `fairforge diff-release OLD NEW`"
                " lists what differs and says whether the number fits."
            ),
        ),
        ("Are older versions kept?", UNSAID),
    ]


def datasheet(table: pa.Table, info: ReleaseInfo, withdrawn: Sequence[Mapping[str, Any]] = ()) -> str:
    """The datasheet as Markdown: the sections of `SECTIONS`, each with its questions and answers.

    Args:
        table: the manifest of the release.
        info: what the giver says.
        withdrawn: as in `release.json`.
    """
    table = with_later_columns(table)
    parts = (
        _motivation(info),
        _composition(table, withdrawn),
        _collection(table),
        _labelling(table),
        _uses(),
        _distribution(table, info),
        _maintenance(info),
    )
    lines = [
        f"# Datasheet: {markdown(info.name)}",
        "",
        (
            f"Version {markdown(info.version)}. After Gebru et al., Datasheets for "
            "Datasets (CACM 2021). What nobody stated is said to be so."
        ),
        "",
    ]
    for title, answers in zip(SECTIONS, parts, strict=True):
        lines += [f"## {title}", ""]
        for question, answer in answers:
            lines += [f"**{question}** {' '.join(answer.split())}", ""]
    return "\n".join(lines).rstrip() + "\n"
