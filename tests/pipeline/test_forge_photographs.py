"""`fairforge forge --target`: any photograph; the rest of it untouched; a reason for every one that cannot be
used.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from manifests.errors import UserError
from manifests.images import read_image, read_mask
from pipeline.__main__ import main
from pipeline.commands.forge import forge_photograph, reader_of
from pipeline.engine.config import Config
from pipeline.faces.picture import IdentityReader, NoFace


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    """Four synthetic faces, 64 pixels a side."""
    import torch

    from generators import load_generator

    torch.set_num_threads(1)
    generator = load_generator("starter64")
    z = torch.from_numpy(np.random.default_rng(5).standard_normal((4, generator.z_dim)).astype(np.float32))
    images = generator.synthesis(generator.mapping(z, psi=0.5))
    values = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [np.ascontiguousarray(image) for image in values.numpy()]


@pytest.fixture(scope="module")
def reader() -> IdentityReader:
    return reader_of(Config())


def photograph(face: np.ndarray, path: Path, side: int, canvas: tuple[int, int], at: tuple[int, int]) -> Path:
    """A grey picture, width x height, with the face enlarged to `side` at (x, y)."""
    picture = np.full((canvas[1], canvas[0], 3), 128, np.uint8)
    x, y = at
    picture[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(picture).save(path)
    return path


def test_a_swap_in_a_photograph_keeps_its_size_and_its_other_pixels(faces, tmp_path, capsys):
    target = photograph(faces[0], tmp_path / "b.png", 180, (400, 260), (150, 30))
    source = photograph(faces[1], tmp_path / "a.png", 120, (160, 200), (20, 40))
    arguments = [
        "forge",
        "--source",
        str(source),
        "--target",
        str(target),
        "--method",
        "swap-delaunay",
        "--set",
        "forge.params.swap-delaunay.max_yaw_gap=2",
        "--set",
        "forge.params.swap-delaunay.max_mouth_gap=2",
    ]
    for name in ("c", "again"):
        assert main([*arguments, "--out", str(tmp_path / f"{name}.png")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "c.png"), str(tmp_path / "again.png")]
    before, after, mask = (
        read_image(target),
        read_image(tmp_path / "c.png"),
        read_mask(tmp_path / "c.mask.png"),
    )
    assert after.shape == before.shape
    assert mask.shape == before.shape[:2]
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    assert (after != before).any(2).mean() > 0.05
    rows, columns = np.nonzero(mask)
    assert columns.min() >= 150
    assert columns.max() < 330
    assert rows.max() < 215
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    lineage = json.loads((tmp_path / "c.json").read_text())
    assert (lineage["method"], lineage["target"]["path"], lineage["source"]["path"]) == (
        "swap-delaunay",
        str(target),
        str(source),
    )
    assert lineage["params"]["blend"] in ("alpha", "poisson")
    assert len(lineage["target"]["sha256"]) == 64


def odd(kind: str, faces: list[np.ndarray], path: Path) -> Path:
    """A drawn odd case."""
    if kind == "flat":
        Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(path)
    elif kind == "noise":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 150, 3)).astype(np.uint8)).save(path)
    elif kind == "two people":
        pair = np.concatenate(
            [cv2.resize(face, (160, 160), interpolation=cv2.INTER_CUBIC) for face in faces[:2]], 1
        )
        Image.fromarray(pair).save(path)
    elif kind == "upside down":
        photograph(faces[0][::-1], path, 160, (220, 220), (30, 30))
    elif kind == "covered":
        covered = faces[0].copy()
        covered[16:] = 30
        photograph(covered, path, 160, (220, 220), (30, 30))
    elif kind == "half a face":
        photograph(faces[0][:, 34:], path, 160, (220, 220), (30, 30))
    elif kind == "one pixel":
        Image.fromarray(np.full((1, 1, 3), 90, np.uint8)).save(path)
    elif kind == "thin":
        Image.fromarray(np.full((400, 3, 3), 90, np.uint8)).save(path)
    elif kind == "grey with alpha":
        Image.fromarray(cv2.resize(faces[0], (160, 160))).convert("LA").save(path)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "flat",
        "noise",
        "two people",
        "upside down",
        "covered",
        "half a face",
        "one pixel",
        "thin",
        "grey with alpha",
    ],
)
def test_odd_photographs_give_a_fake_or_a_reason(kind, faces, reader, tmp_path):
    target = odd(kind, faces, tmp_path / "odd.png")
    out = tmp_path / "c.png"
    refusal: UserError | None = None
    try:
        forge_photograph(Config(), target, None, "blend-self", out, reader)
    except UserError as error:
        refusal = error
    if refusal is not None:
        assert refusal.why
        assert refusal.fix
        assert list(tmp_path.iterdir()) == [target], "nothing half-made is left"
        assert kind != "grey with alpha"
        return
    assert kind in ("grey with alpha", "upside down", "covered", "half a face")
    before, after, mask = read_image(target), read_image(out), read_mask(tmp_path / "c.mask.png")
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])


def test_the_reason_names_what_is_wrong(faces, reader, tmp_path):
    for kind, reason in (("flat", "no_face"), ("two people", "two_faces")):
        with pytest.raises(NoFace) as caught:
            forge_photograph(
                Config(),
                odd(kind, faces, tmp_path / "odd.png"),
                None,
                "blend-self",
                tmp_path / "c.png",
                reader,
            )
        assert caught.value.reason == reason
        assert "odd.png" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "b.png", "--method", "swap-delaunay", "--out", "c.png"], 2, "needs a source face"),
        (["--target", "b.png", "--method", "blend-self", "--out", "c.jpg"], 2, "is not a PNG"),
        (["--target", "b.png", "--method", "blend-sel", "--out", "c.png"], 2, "did you mean blend-self"),
        (["--target", "b.png", "--out", "c.png"], 2, "needs both --target and --method"),
        (["--target", "nowhere.png", "--method", "blend-self", "--out", "c.png"], 3, "is not there"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(arguments, code, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["forge", *arguments]) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
