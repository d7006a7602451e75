"""Fakes drawn anew: what they depend on, what shares a batch with them, and what happens to faces that cannot
be forged.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from detector.training.augmentation import AugmentParams
from detector.training.batch_maker import BatchMaker
from detector.training.data import open_manifest
from detector.training.online import OnlineData, online_split, with_families
from detector.training.sampler import balanced_epoch
from detector.training.settings import TrainSettings
from manifests.errors import DataError
from pipeline.stages.train.base_scale import rescaled
from pipeline.stages.train.online import build_forge
from tests.online_training.online_set import METHODS, PARAMS


def split_of(
    manifest: Path,
    seed: int = 1,
    methods: dict[str, float] | None = None,
    base_scale: tuple[float, ...] = (),
) -> OnlineData:
    build = build_forge(
        METHODS if methods is None else methods, PARAMS if methods is None else {}, base_scale
    )
    assert build is not None
    table, folder, classes = open_manifest(manifest)
    data, left_out = online_split(
        table, folder, "train", with_families(classes, build([]).families.values()), 64, build, seed
    )
    assert not left_out
    return data


def test_a_fake_depends_on_seed_epoch_and_face_alone(manifest: Path) -> None:
    data, rows = split_of(manifest), np.arange(12, 24)
    first, _ = data.pictures(rows)
    again, _ = data.pictures(rows[::-1])
    np.testing.assert_array_equal(first, again[::-1])
    copy = pickle.loads(pickle.dumps(data))
    assert copy.images is None  # a worker reads the files
    np.testing.assert_array_equal(copy.pictures(rows)[0], first)
    data.begin(1)
    assert all((one != other).any() for one, other in zip(data.pictures(rows)[0], first, strict=True))
    assert (split_of(manifest, seed=2).pictures(rows)[0] != first).any()


def test_real_rows_come_as_they_are_and_fakes_differ_under_their_mask(manifest: Path) -> None:
    data = split_of(manifest, methods={"swap-delaunay": 1})
    real, blank = data.pictures(np.arange(12))
    fake, masks = data.pictures(np.arange(12, 24))
    assert not blank.any()
    for base, forged, mask in zip(real, fake, masks, strict=True):
        assert (base[mask > 0] != forged[mask > 0]).any()
        np.testing.assert_array_equal(base[mask == 0], forged[mask == 0])


def test_a_base_and_its_fake_are_resampled_alike_and_anew_each_epoch(manifest: Path) -> None:
    stored, data = (
        split_of(manifest, methods={"swap-delaunay": 1}, base_scale=scales) for scales in ((), (0.5, 0.75))
    )
    (real, blank), (fake, masks) = data.pictures(np.arange(12)), data.pictures(np.arange(12, 24))
    assert not blank.any()
    assert all(
        (one != other).any() for one, other in zip(real, stored.pictures(np.arange(12))[0], strict=True)
    )
    for base, forged, mask in zip(real, fake, masks, strict=True):
        apart = (
            cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0
        )  # enlarging to the input spreads the edge by some pixels
        assert apart.any()
        assert (base[mask > 127] != forged[mask > 127]).any()
        assert np.abs(base[apart].astype(int) - forged[apart]).max() <= 2
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.pictures(np.arange(12, 24))[0], fake)
    data.begin(1)
    assert all((one != other).any() for one, other in zip(data.pictures(np.arange(12))[0], real, strict=True))


@pytest.mark.parametrize("scales", [(0.5, 0.5), (1.0, 1.0), (1.5, 2.0)])
def test_landmarks_follow_their_resampled_base(scales: tuple[float, float]) -> None:
    places = np.array([[40.0, 52.0], [90.0, 61.0], [63.0, 99.0]], np.float32)
    grid = np.mgrid[:128, :128][::-1].astype(np.float64)
    image = np.stack([np.exp(-np.square(grid - xy[:, None, None]).sum(0) / 18) for xy in places], 2)
    errors = []
    for draw in range(40):
        small, moved = rescaled(
            (255 * image).round().astype(np.uint8), places, scales, np.random.default_rng(draw)
        )
        weights = small.astype(np.float64)
        rows, columns = np.mgrid[: small.shape[0], : small.shape[1]]
        found = [
            [(weights[..., k] * axis).sum() / weights[..., k].sum() for axis in (columns, rows)]
            for k in range(3)
        ]
        errors.append(moved - np.array(found))
    assert np.abs(errors).max() <= 0.5  # a box kernel moves by whole pixels where the scale is 1
    assert np.abs(np.mean(errors, 0)).max() < 0.1


@pytest.mark.parametrize("value", [[0.5], [0.9, 0.5], [0.0, 0.5], [0.5, 3.0], [0.5, 0.6, 0.7]])
def test_scales_that_cannot_be_are_refused(value: list[float]) -> None:
    with pytest.raises(ValidationError, match="base_scale"):
        TrainSettings.model_validate({"base_scale": value})


def test_methods_are_drawn_by_their_weights(manifest: Path) -> None:
    data, counts = split_of(manifest), np.zeros(4)
    for epoch in range(60):
        data.begin(epoch)
        counts += np.bincount(data.methods, minlength=4)
    shares = counts[1:] / counts[1:].sum()
    np.testing.assert_allclose(
        shares, [0.5, 0.25, 0.25], atol=0.08
    )  # 720 draws: two standard errors are .037


def test_a_fake_shares_batch_and_augmentation_with_its_base(manifest: Path) -> None:
    data = split_of(manifest, methods={"swap-delaunay": 1})
    batches = balanced_epoch(data.labels, data.groups["cell"], data.pair_ids, 8, 1, 0)
    for rows in batches:
        assert sorted(row % 12 for row in rows if row < 12) == sorted(row % 12 for row in rows if row >= 12)
    augmentation = AugmentParams(light=0.5, rotate=10, scale=1, noise=1, jpeg=0)
    maker = BatchMaker(data, 1, augmentation, (), True, True)
    ready = maker(np.array([0, 12]), 0)
    assert ready.masks is not None
    outside = ready.masks[1] == 0  # the same noise, turn and light: where nothing is forged nothing differs
    gap = np.abs(ready.pixels[0].astype(int) - ready.pixels[1])
    inside = gap[~outside].mean()
    assert gap[outside].mean() < 0.35 * inside
    alone = BatchMaker(data, 1, augmentation, (), False, False)(np.array([0, 12]), 0)
    assert np.abs(alone.pixels[0].astype(int) - alone.pixels[1])[outside].mean() > gap[outside].mean()


def test_partners_are_of_the_cell_and_never_the_face_itself(manifest: Path) -> None:
    data = split_of(manifest)
    forge, bases = data.forge, data.forge.bases  # type: ignore[attr-defined]
    for k in range(data.real):
        for method in ("swap-delaunay", "blend-xray"):
            partners = forge._partners(method, k, 1, 0)  # type: ignore[attr-defined]
            assert partners
            assert {bases[p].cell for p in partners} == {bases[k].cell}
            assert k not in partners


def test_a_face_that_cannot_be_forged_gives_way_to_another_of_its_cell(manifest: Path) -> None:
    data = split_of(manifest, methods={"swap-delaunay": 1})
    make = data.forge.make

    class Picky:
        families = data.forge.families

        def make(self, k: int, seed: int, epoch: int) -> object:
            if k == 0:
                raise DataError("face", "gives no fake", "leave it out")
            return make(k, seed, epoch)

    data.forge = Picky()  # type: ignore[assignment]
    before = data.refused
    image, _ = data.pictures(np.array([12]))
    assert data.refused > before
    others, _ = data.pictures(np.flatnonzero(data.groups["cell"] == data.groups["cell"][0])[6:])
    assert any(np.array_equal(image[0], other) for other in others)


def test_nothing_that_works_is_an_error(manifest: Path) -> None:
    data = split_of(manifest, methods={"swap-delaunay": 1})

    class Never:
        families = data.forge.families

        def make(self, k: int, seed: int, epoch: int) -> object:
            raise DataError("face", "gives no fake", "leave it out")

    data.forge = Never()  # type: ignore[assignment]
    with pytest.raises(DataError, match="gives no fake"):
        data.pictures(np.array([12]))


def test_validation_keeps_its_fakes(manifest: Path) -> None:
    data = split_of(manifest)
    first = data.fixed()
    data.begin(5)
    second = data.fixed()
    np.testing.assert_array_equal(first.images, second.images)
    assert first.images is not None
    data.begin(5)
    assert (data.pictures(np.arange(12, 24))[0] != first.images[12:]).any()
    assert first.labels.tolist() == [0] * 12 + [1] * 12
