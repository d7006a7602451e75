"""An image that is not the one its row describes is refused, or left out with the reason, by whatever reads a
manifest's images.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

from manifests import read_manifest
from manifests.contents import compared
from manifests.errors import DataError
from manifests.exporters import EXPORTERS
from manifests.gathering import gather
from manifests.images import CHANGED, encode
from manifests.release import build_release
from manifests.store import write_table
from tests.manifests.manifest_rows import drawn_set
from tests.manifests.release_fixture import INFO

ROOT = Path(__file__).parents[2]
WORDS = "sha256 differs"


class Model:
    """A detector that calls everything fake."""

    input_size = 8

    def predict(self, images):
        return np.ones(len(images), np.float32)


@pytest.fixture
def altered(tmp_path, request):
    """A set whose first real image was changed after its row was written; the row's digest begins with 0
    where asked for.
    """
    first = getattr(request, "param", "f")  # not one of those that `sampled` compares
    folder = tmp_path / "set"
    made = drawn_set(folder, per_cell=2, size=8, methods={"none": "none", "swap-a": "swap"})
    rows = made.to_pylist()
    victim = next(row for row in rows if row["label"] == 0 and row["split"] == "train")
    victim["sha256"] = first + victim["sha256"][1:]
    (folder / victim["path"]).write_bytes(encode(np.zeros((8, 8, 3), np.uint8), "png"))
    write_table(type(made).from_pylist(rows, schema=made.schema), folder / "manifest.parquet")
    return folder


def trained(folder, out, digests):
    from detector.training.data import classes_of, read_split

    table = read_manifest(folder)
    read_split(table, folder, "train", classes_of(table), 8, digests)


def scored(folder, out, digests):
    from pipeline.stages.evaluate.image_scores import score_manifest

    score_manifest(Model(), folder, "train", 1, digests)


def scored_in_parts(folder, out, digests):
    from pipeline.stages.evaluate.image_scores import score_in_parts

    _, left = score_in_parts(Model(), "d", folder, "train", out, 1, digests=digests)
    if left:
        raise DataError("left out", left[0], "")


def perturbed(folder, out, digests):
    from pipeline.commands.evaluate.robustness import sweep_scores

    _, _, left = sweep_scores(Model(), folder / "manifest.parquet", read_manifest(folder).to_pylist(), [])
    if left:
        raise DataError("left out", left[0], "")


def faces(folder, out, digests):
    from pipeline.faces.sources import faces_of

    for item in faces_of(folder):
        item.pixels()


def annotated(folder, out, digests):
    from pipeline.commands.attributes.sources import pictures

    for row, image in pictures([folder]):
        if image is None:
            raise DataError(row["path"], row["detail"], "")


def embedded(folder, out, digests):
    from pipeline.commands.identities.companion import _embedded

    victim = next(
        row for row in read_manifest(folder).to_pylist() if row["label"] == 0 and row["split"] == "train"
    )
    raise DataError("the row", _embedded(folder, victim, "none", "cpu")["reason"], "")


def audited(folder, out, digests):
    from pipeline.commands.audit import audit_file
    from pipeline.engine.config import Config

    audit_file(folder, None, Config(), quiet=True)


def reals(folder):
    """The set without its fakes."""
    made = read_manifest(folder)
    rows = [row for row in made.to_pylist() if row["label"] == 0]
    write_table(type(made).from_pylist(rows, schema=made.schema), folder / "manifest.parquet")
    return folder


ASKED = {"training": trained, "scoring": scored, "scoring in parts": scored_in_parts}
"""Readers that are told which files to compare."""
ALWAYS = {
    "robustness": perturbed,
    "faces": faces,
    "annotation": annotated,
    "identities": embedded,
    "audit of a manifest": audited,
    "gather": lambda folder, out, digests: gather([reals(folder)], out, shares={"train": 1.0}),
    "release": lambda folder, out, digests: build_release(folder, out, INFO),
    **{
        name: lambda folder, out, digests, name=name: EXPORTERS.create(name).export(folder, out)
        for name in EXPORTERS.names()
    },
}


@pytest.mark.parametrize("name", [*ASKED, *ALWAYS])
def test_an_altered_image_is_seen(altered, tmp_path, name):
    with pytest.raises(DataError, match=WORDS):
        {**ASKED, **ALWAYS}[name](altered, tmp_path / "out", "whole")


@pytest.mark.parametrize("altered", ["0"], indirect=True)
@pytest.mark.parametrize("name", ASKED)
def test_the_setting_is_followed(altered, tmp_path, name):
    with pytest.raises(DataError, match=WORDS):
        ASKED[name](altered, tmp_path / "out", "sampled")
    ASKED[name](altered, tmp_path / "out", "none")


def test_what_is_compared():
    assert compared("0f", "whole") == compared("0f", "sampled") == "0f"
    assert compared("f0", "whole") == "f0"
    assert compared("f0", "sampled") is None
    assert compared("0f", "none") is None
    assert compared(None, "whole") is None
    assert WORDS in CHANGED


LOOKS = {
    "manifests.audit.duplicates": "the runner compares a stage's input, and `audit_file` a manifest's",
    "manifests.release.check": "after `validate`, which compares",
    "pipeline.report.contact_sheet": "shows some pictures",
    "pipeline.stages.verify.judging": "the runner compares a stage's input",
    "pipeline.stages.forge.making": "the runner compares a stage's input",
    "pipeline.stages.pair.encoding": "the runner compares a stage's input",
}
"""Modules that read images of rows without comparing them here, and why."""


def test_every_reader_of_rows_compares():
    """`read_image(inside(...))` without a digest is a reader that would not notice an altered image."""
    found = set()
    for package in ("manifests", "generators", "attribute_models", "detector", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "id", "") in ("read_image", "read_bytes", "_picture")
                    and node.args
                    and "inside(" in ast.unparse(node.args[0])
                    and len(node.args) < 2
                ):
                    found.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert found - LOOKS.keys() == set()
