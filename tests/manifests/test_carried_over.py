"""What a source says of a sample reaches its row, whether it is a picture or a clip."""

import ast
from pathlib import Path

from manifests.adapters import clip_import, importing
from manifests.adapters.base import SourceImage, carried_over
from manifests.records import ImageRecord

# Facts of the file or of its pixels: they are measured, or change with the crop.
OF_THE_FILE = {"path", "media", "landmarks", "landmark_scheme", "fake_segments", "image_id", "sha256"}


def test_every_shared_field_is_carried_over():
    shared = set(SourceImage.model_fields) & set(ImageRecord.model_fields)
    item = SourceImage(key="a", label=0)
    assert shared - OF_THE_FILE == set(carried_over(item, "x")) & shared


def test_a_value_arrives():
    item = SourceImage(key="a", label=1, consent="signed", licence="CC0-1.0", origin="photograph")
    row = carried_over(item, "x")
    assert (row["consent"], row["licence"], row["origin"], row["dataset"]) == (
        "signed",
        "CC0-1.0",
        "photograph",
        "x",
    )


def test_pictures_and_clips_take_it_from_one_place():
    for module in (clip_import, importing):
        tree = ast.parse(Path(module.__file__).read_text())
        assert any(
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "carried_over"
            for node in ast.walk(tree)
        ), module.__name__
