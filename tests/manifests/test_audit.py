"""Audits find the shortcut, duplicate, leak or gap that is planted, name it, and let a clean set pass."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image as PilImage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from manifests.atomic import canonical_json, digest_bytes
from manifests.audit import AUDITS, audit_manifest
from manifests.audit import shortcut as shortcut_module
from manifests.audit.duplicates import near_pairs
from manifests.audit.features import FEATURES, PIXEL_FEATURES, feature_matrix
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.store import read_manifest, write_manifest
from tests.manifests.manifest_rows import changed, drawn, drawn_set, table

FAST = {"folds": 2, "replicates": 20}
REAL = "train-White-Male-000"


def look(name, folder, params=None, cells=True):
    """One audit's result; without cells the shortcut audit has two questions only."""
    found = read_manifest(folder)
    if not cells:
        found = found.set_column(found.column_names.index("cell"), "cell", [[None] * found.num_rows]).cast(
            found.schema
        )
    return AUDITS.create(name, params).run(found, folder, 7)


def shortcut(folder, **params):
    return look("shortcut", folder, {**FAST, **params}, cells=False)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    drawn_set(folder, per_cell=8)
    return folder


@pytest.fixture
def copy(clean, tmp_path):
    """A set of its own, to be damaged."""
    return shutil.copytree(clean, tmp_path / "copy")


def rewrite(folder, image_id, **changes):
    rows = [ImageRecord(**row) for row in read_manifest(folder).to_pylist()]
    write_manifest(table(changed(rows, image_id, **changes)), folder / "manifest.parquet")


def replace_image(folder, image_id, data):
    (folder / "images" / f"{image_id}.jpg").write_bytes(data)
    rewrite(folder, image_id, sha256=digest_bytes(data))


def test_a_clean_set_passes_every_audit(clean):
    names = ["balance", "duplicates", "leaks", "shortcut"]
    found = audit_manifest(clean, names, {"shortcut": FAST}, seed=3)
    assert {name: result["passed"] for name, result in found["audits"].items()} == dict.fromkeys(names, True)
    assert found["passed"]
    assert [found["audits"][name]["findings"] for name in ("balance", "duplicates", "leaks")] == [[], [], []]
    assert json.loads(canonical_json(found)) == found, "JSON without NaN"
    questions = found["audits"]["shortcut"]["figures"]["questions"]
    assert len(questions) == 2 * (1 + 1 + 4 + 4), "overall, one method, four cells twice; file and pixel"
    assert all(figure["auc"] is not None for figure in questions.values())
    assert found["audits"]["shortcut"]["figures"]["images"] == 192


def test_the_same_seed_gives_the_same_json(tmp_path):
    drawn_set(tmp_path, per_cell=3, fake=lambda image, *_: (image, "jpeg", 70))
    first, second = (audit_manifest(tmp_path, AUDITS.names(), {"shortcut": FAST}, seed=3) for _ in range(2))
    assert not first["passed"]
    assert canonical_json(first) == canonical_json(second)


def with_exif(image, quality):
    exif = PilImage.Exif()
    exif[0x0131] = "editor"
    buffer = io.BytesIO()
    PilImage.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "quality", "telling"),
    [
        ("jpeg", 70, {"bytes", "jpeg_luma_table", "jpeg_chroma_table"}),
        ("png", None, {"bytes", "is_jpeg", "is_png"}),
        ("webp", 90, {"bytes", "is_jpeg", "is_webp"}),
    ],
)
def test_fakes_saved_otherwise_are_found_by_the_file(tmp_path, kind, quality, telling):
    drawn_set(tmp_path, per_cell=3, fake=lambda image, *_: (image, kind, quality))
    result = shortcut(tmp_path)
    assert not result.passed
    figure = result.figures["questions"]["real or fake (file)"]
    assert figure["auc"] > 0.95
    assert figure["low"] > 0.9
    assert figure["feature"] in telling
    assert figure["feature_auc"] == 1.0
    assert any(
        "real or fake, file features" in text and figure["feature"] in text for text in result.findings
    )


@pytest.mark.parametrize("quality", [88, 92])
def test_a_small_step_of_quality_is_found_too(tmp_path, quality):
    drawn_set(tmp_path, per_cell=3, fake=lambda image, *_: (image, "jpeg", quality))
    result = shortcut(tmp_path)
    assert not result.passed
    assert result.figures["questions"]["real or fake (file)"]["feature_auc"] == 1.0


def test_only_the_method_at_fault_is_named(tmp_path):
    methods = {"none": "none", "blend-b": "blend", "swap-a": "swap"}
    drawn_set(
        tmp_path,
        per_cell=3,
        methods=methods,
        fake=lambda image, method, *_: (image, "jpeg", 60 if method == "swap-a" else 90),
    )
    questions = shortcut(tmp_path).figures["questions"]
    assert questions["real or swap-a (file)"]["above_limit"]
    assert not questions["real or blend-b (file)"]["above_limit"]


def test_metadata_left_in_fakes_is_found(copy):
    rng = np.random.default_rng(5)
    for row in read_manifest(copy).to_pylist():
        if row["label"] == 1:
            (copy / row["path"]).write_bytes(with_exif(drawn(rng), 90))
    result = shortcut(copy)
    assert not result.passed
    assert result.figures["questions"]["real or fake (file)"]["feature"] in ("exif_tags", "bytes")


@pytest.mark.parametrize("strict", [False, True])
def test_brighter_fakes_are_a_pixel_finding_that_gates_when_strict(tmp_path, strict):
    drawn_set(
        tmp_path,
        per_cell=3,
        fake=lambda image, *_: ((image.astype(int) + 45).clip(0, 255).astype(np.uint8), "jpeg", 90),
    )
    result = shortcut(tmp_path, strict=strict, file_limit=1.0)
    figure = result.figures["questions"]["real or fake (pixel)"]
    assert figure["auc"] > 0.8
    assert figure["feature"] in ("brightness", "border", "red", "green", "blue")
    assert any("pixel features" in text for text in result.findings)
    assert result.passed is not strict


def test_a_cell_told_by_its_files_is_found_and_does_not_gate(copy):
    rng = np.random.default_rng(6)
    for row in read_manifest(copy).to_pylist():
        if row["cell"] == "Black/Female":
            (copy / row["path"]).write_bytes(encode(drawn(rng), "jpeg", 60))
    result = look("shortcut", copy, FAST)
    assert any(text.startswith("Black/Female or another cell, file features") for text in result.findings)
    assert result.figures["questions"]["Black/Female or another cell (file)"]["auc"] > 0.95
    assert not result.figures["questions"]["real or fake in Black/Female (file)"]["above_limit"]
    assert result.passed


def test_the_limit_is_the_limit(tmp_path):
    drawn_set(tmp_path, per_cell=3, fake=lambda image, *_: (image, "jpeg", 70))
    assert shortcut(tmp_path, file_limit=1.0).passed, "an AUC of 1 is not above a limit of 1"


def test_too_few_images_have_no_figure_and_say_so(tmp_path):
    drawn_set(tmp_path, per_cell=1, fake=lambda image, *_: (image, "png", None))
    result = shortcut(tmp_path, min_images=30)
    figure = result.figures["questions"]["real or fake (file)"]
    assert (figure["auc"], figure["reason"]) == (None, "too few images")
    assert result.passed


def test_at_most_so_many_images_are_read_by_whole_pairs(clean):
    audit = AUDITS.create("shortcut", {"max_images": 100})
    rows = read_manifest(clean).select(["image_id", "label", "pair_id"]).to_pylist()
    kept = audit._bounded(rows, 7)
    assert 90 <= len(kept) <= 100
    assert sum(row["label"] for row in kept) * 2 == len(kept)
    assert {row["pair_id"] for row in kept if row["label"]} == {
        row["pair_id"] for row in kept if not row["label"]
    }
    assert kept == audit._bounded(rows, 7) != audit._bounded(rows, 8)


def leaky(n_groups=40, size=4):
    """Features that name the group exactly, and a label that the group has: only a split by group is
    honest.
    """
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(n_groups), size)
    return rng.normal(size=(n_groups, 6))[group], rng.permutation(np.arange(n_groups) % 2)[group], group


def test_out_of_fold_scores_are_those_of_scikit_learn():
    x, y, group = leaky()
    found = shortcut_module.out_of_fold(x, y, group, 4, 11)
    models = shortcut_module._models(11)
    assert len(found) == len(models) == 2
    for scores, model in zip(found, models, strict=True):
        expected = cross_val_predict(model, x, y, groups=group, cv=GroupKFold(4), method="predict_proba")[
            :, 1
        ]
        np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_a_group_is_never_judged_by_what_was_learned_of_it():
    x, y, group = leaky()
    forest = shortcut_module.out_of_fold(x, y, group, 4, 1)[1]
    by_row = shortcut_module.out_of_fold(x, y, np.arange(len(y)), 4, 1)[1]
    assert roc_auc_score(y, by_row) > 0.95, "split by row, the forest knows the group again"
    assert roc_auc_score(y, forest) < 0.75


def test_the_figure_is_the_auc_of_the_better_judge(clean):
    rows = read_manifest(clean).to_pylist()
    x = feature_matrix([clean / row["path"] for row in rows])
    assert x.shape == (192, len(FEATURES))
    columns = [FEATURES.index(name) for name in PIXEL_FEATURES]
    y = np.array([row["label"] for row in rows])
    group = np.unique([row["pair_id"] for row in rows], return_inverse=True)[1]
    seed = shortcut_module.seed_of(7, "shortcut", "real or fake", "pixel")
    areas = [
        roc_auc_score(
            y,
            cross_val_predict(m, x[:, columns], y, groups=group, cv=GroupKFold(2), method="predict_proba")[
                :, 1
            ],
        )
        for m in shortcut_module._models(seed)
    ]
    figure = shortcut(clean).figures["questions"]["real or fake (pixel)"]
    assert figure["auc"] == pytest.approx(max(areas), abs=1e-4)
    assert figure["low"] <= figure["auc"] <= figure["high"]


def test_the_single_feature_is_the_best_rank_statistic_in_either_direction():
    rng = np.random.default_rng(1)
    y = np.arange(60) % 2
    x = np.stack([rng.normal(size=60), -y + rng.normal(size=60), np.full(60, 3.0)], 1)
    name, area = shortcut_module.single_feature(x, y, ("noise", "inverse", "constant"))
    u = mannwhitneyu(x[y == 0, 1], x[y == 1, 1]).statistic
    assert name == "inverse"
    assert area == pytest.approx(u / 900)


def test_the_interval_is_over_pairs_and_holds_the_auc():
    rng = np.random.default_rng(2)
    y = np.arange(200) % 2
    score = y + rng.normal(size=200) * 1.5
    area = roc_auc_score(y, score)
    low, high = shortcut_module.auc_interval(y, score, np.arange(200) // 2, 300, np.random.default_rng(0))
    assert low < area < high
    assert 0.08 < high - low < 0.25
    again = np.repeat(np.arange(200), 5)
    wide = shortcut_module.auc_interval(y[again], score[again], again // 2, 300, np.random.default_rng(0))
    assert wide[1] - wide[0] > 0.8 * (high - low), "repeats inside a pair add no certainty"


def test_replicates_are_the_aucs_of_scikit_learn_on_the_drawn_rows():
    rng = np.random.default_rng(3)
    y, score = rng.integers(0, 2, 80), rng.integers(0, 12, 80) / 12  # with ties
    weight = rng.multinomial(80, np.full(80, 1 / 80), 20).astype(float)
    weight[3, y == 1] = 0
    found = shortcut_module.weighted_aucs(y, score, weight)
    assert np.isnan(found[3])
    for row in (0, 1, 2, *range(4, 20)):
        drawn = np.repeat(np.arange(80), weight[row].astype(int))
        assert found[row] == pytest.approx(roc_auc_score(y[drawn], score[drawn]), abs=1e-12)


@pytest.mark.parametrize("audit", ["shortcut", "duplicates"])
@pytest.mark.parametrize("damage", ["truncated", "text", "gone"])
def test_an_unreadable_picture_in_the_middle_is_named(copy, audit, damage):
    path = copy / "images" / "test-White-Male-003.jpg"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "truncated" else b"no picture")
    if damage == "gone":
        path.unlink()
    with pytest.raises((DataError, MissingError), match=r"test-White-Male-003\.jpg") as caught:
        audit_manifest(copy, [audit])
    assert caught.value.exit_code == 3


def test_the_same_bytes_in_two_splits_are_found(copy):
    replace_image(copy, "test-Black-Male-002", (copy / "images" / f"{REAL}.jpg").read_bytes())
    result = look("duplicates", copy)
    assert not result.passed
    assert result.figures["exact_pairs_across_splits"] == 1
    assert "test-Black-Male-002 (test)" in result.findings[0]
    assert f"{REAL} (train)" in result.findings[0]


def test_the_same_picture_saved_again_darker_in_another_split_is_found(copy):
    with PilImage.open(copy / "images" / f"{REAL}.jpg") as image:
        darker = (np.asarray(image) * 0.9).astype(np.uint8)
    replace_image(copy, "val-White-Female-001", encode(darker, "jpeg", 75))
    result = look("duplicates", copy)
    assert not result.passed
    assert result.figures["exact_pairs"] == 0
    assert result.figures["near_pairs_across_splits"] == 1
    assert "near duplicates" in result.findings[0]


def test_duplicates_inside_one_split_are_counted_and_pass(copy):
    replace_image(copy, "train-Black-Male-002", (copy / "images" / f"{REAL}.jpg").read_bytes())
    result = look("duplicates", copy)
    assert result.passed
    assert (result.figures["exact_pairs"], result.figures["near_pairs"]) == (1, 1)
    assert result.figures["near_pairs_across_splits"] == 0


def test_two_pictures_with_one_hash_are_no_duplicates(copy):
    ramp = np.linspace(0, 1, 32)
    for image_id, power in ((REAL, 1), ("test-White-Male-001", 8)):
        grey = np.broadcast_to(ramp**power * 200 + ramp * 40, (32, 32))
        replace_image(copy, image_id, encode(np.repeat(grey[..., None], 3, 2).astype(np.uint8), "jpeg", 95))
    assert look("duplicates", copy).passed
    assert not look("duplicates", copy, {"min_correlation": 0.5}).passed


@pytest.mark.parametrize(("pair_id", "near"), [(REAL, 0), ("train-White-Male-001", 1), (None, 1)])
def test_real_images_of_one_pair_are_not_compared(copy, pair_id, near):
    other = "train-White-Male-001"
    with PilImage.open(copy / "images" / f"{REAL}.jpg") as image:
        replace_image(copy, other, encode(np.asarray(image), "jpeg", 90))
    rewrite(copy, other, pair_id=pair_id)
    assert look("duplicates", copy).figures["near_pairs"] == near


@pytest.mark.parametrize("limit", [0, 2, 9])
def test_near_pairs_are_those_of_the_hamming_distance(limit):
    rng = np.random.default_rng(0)
    hashes = rng.random((30, 64)) < 0.5
    hashes = np.concatenate([hashes, hashes ^ (rng.random((30, 64)) < 0.06)])
    distance = squareform(pdist(hashes, "hamming")) * 64
    expected = [(i, j) for i in range(60) for j in range(i + 1, 60) if round(distance[i, j]) <= limit]
    assert near_pairs(hashes, limit, chunk=7) == near_pairs(hashes, limit) == expected


def test_a_leak_fails_its_audit(copy):
    rewrite(copy, REAL, identity_id="person-test-White-Male-001")
    result = audit_manifest(copy, ["leaks", "balance"])
    assert not result["passed"]
    assert not result["audits"]["leaks"]["passed"]
    assert "leak-identity" in result["audits"]["leaks"]["findings"][0]
    assert result["audits"]["balance"]["passed"]


def test_a_missing_fake_fails_the_balance_audit_unless_it_was_allowed(copy):
    found = read_manifest(copy)
    short = found.take(
        [k for k, i in enumerate(found.column("image_id").to_pylist()) if i != f"{REAL}-swap-a"]
    )
    write_manifest(short, copy / "manifest.parquet")
    result = look("balance", copy)
    assert not result.passed
    assert "White/Male swap-a lacks 1" in result.findings[0]
    assert result.figures["train_per_cell_and_method"] == [7, 8]
    assert result.figures["test_per_cell_and_method"] == [8]
    allowed = short.replace_schema_metadata({**short.schema.metadata, b"fairforge.shortfall": b"{}"})
    write_manifest(allowed, copy / "manifest.parquet")
    assert (result := look("balance", copy)).passed
    assert result.findings


def test_unknown_audits_and_wrong_parameters_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match="did you mean shortcut"):
        audit_manifest(tmp_path / "none", ["shortcuts"])
    with pytest.raises(UsageError, match="file_limit"):
        audit_manifest(tmp_path / "none", ["leaks", "shortcut"], {"shortcut": {"file_limit": 0.2}})


def test_an_empty_manifest_passes_all(tmp_path):
    write_manifest(table([]), tmp_path / "manifest.parquet")
    result = audit_manifest(tmp_path, AUDITS.names())
    assert result["passed"]
    assert canonical_json(result)
