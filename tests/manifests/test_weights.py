"""The catalogue of weights: every file that is listed is there and is the one listed; users' own ones are
found too.
"""

import hashlib
import os
import shutil

import pytest

from manifests.errors import DataError, MissingError
from manifests.weights import catalogue, find_weight, user_folder

KINDS = ("generator", "attributes", "landmarks", "detector", "autoencoder", "audio-visual", "cells")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """An empty folder in place of the user's."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(folder))
    return folder


def listed(folder, name="mine", data=b"weights", kind="detector", sha256=None, extra=""):
    (folder / f"{name}.safetensors").write_bytes(data)
    text = f'[{name}]\nfile = "{name}.safetensors"\nsha256 = "{sha256 or hashlib.sha256(data).hexdigest()}"\n'
    (folder / "weights.toml").write_text(f'{text}kind = "{kind}"\n{extra}', encoding="utf-8")
    return folder / f"{name}.safetensors"


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_embedded_files_are_those_of_the_catalogue(name):
    weight = catalogue()[name]
    assert hashlib.sha256(weight.path.read_bytes()).hexdigest() == weight.sha256
    assert weight.kind in KINDS
    assert weight.licence != "unknown"
    assert weight.data
    assert weight.recipe
    assert find_weight(name, weight.kind) == weight
    assert weight.digest8 == weight.sha256[:8]


def test_each_package_that_runs_out_of_the_box_has_a_weight():
    kinds = {weight.kind for weight in catalogue().values()}
    assert {"generator", "attributes", "landmarks"} <= kinds


def test_kind_selects():
    assert catalogue("generator")
    assert all(weight.kind == "generator" for weight in catalogue("generator").values())
    assert catalogue("no such kind") == {}


def test_a_weight_of_another_kind_is_not_taken_for_this_one():
    with pytest.raises(MissingError):
        find_weight(next(iter(catalogue("generator"))), "detector")


@pytest.mark.parametrize("damage", ["one bit", "truncated", "empty"])
def test_a_copy_that_was_changed_is_refused(own_folder, damage):
    original = next(iter(catalogue("landmarks").values()))
    copy = own_folder / "copy.safetensors"
    shutil.copy(original.path, copy)
    listed_at = own_folder / "weights.toml"
    listed_at.write_text(
        f'[copy]\nfile = "copy.safetensors"\nsha256 = "{original.sha256}"\nkind = "landmarks"\n'
    )
    assert find_weight("copy", "landmarks").sha256 == original.sha256
    data = bytearray(copy.read_bytes())
    if damage == "one bit":
        data[len(data) // 2] ^= 1
    copy.write_bytes({"one bit": bytes(data), "truncated": bytes(data[:-1]), "empty": b""}[damage])
    os.utime(copy, ns=(1, 1))
    with pytest.raises(DataError, match=r"copy\.safetensors") as caught:
        find_weight("copy", "landmarks")
    assert caught.value.exit_code == 3
    assert original.sha256[:12] in caught.value.why


def test_an_unknown_name_has_the_nearest_and_the_known_ones():
    name = next(iter(catalogue("generator")))
    with pytest.raises(MissingError) as caught:
        find_weight(name[:-1], "generator")
    assert f"did you mean {name}?" in caught.value.why
    assert name in caught.value.fix
    assert caught.value.exit_code == 3


def test_a_listed_file_that_is_gone_tells_its_recipe(own_folder):
    listed(own_folder, extra='recipe = "fairforge train-detector"\n').unlink()
    with pytest.raises(MissingError, match="not there") as caught:
        find_weight("mine", "detector")
    assert caught.value.fix == "fairforge train-detector"


def test_users_weights_are_found_with_what_is_known_of_them(own_folder):
    path = listed(own_folder, extra='licence = "CC0-1.0"\n[mine.measured]\nauc = 0.9\n')
    weight = find_weight("mine", "detector")
    assert (weight.path, weight.licence, weight.measured) == (path, "CC0-1.0", {"auc": 0.9})


def test_a_user_cannot_shadow_an_embedded_weight(own_folder):
    name, weight = next(iter(catalogue("generator").items()))
    listed(own_folder, name=name, kind="generator", data=b"other")
    assert find_weight(name, "generator") == weight


def test_any_file_is_found_by_path(tmp_path):
    path = tmp_path / "other.pkl"
    path.write_bytes(b"12345")
    weight = find_weight(path, "generator")
    assert (weight.name, weight.kind, weight.path) == ("other", "generator", path)
    assert weight.sha256 == hashlib.sha256(b"12345").hexdigest()
    path.write_bytes(b"123456")
    assert find_weight(path, "generator").sha256 == hashlib.sha256(b"123456").hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "[mine\n",
        '[mine]\nfile = "a"\nkind = "detector"\n',
        '[mine]\nsha256 = "0"\nkind = "detector"\n',
        'mine = "a file"\n',
    ],
)
def test_a_broken_catalogue_is_named(own_folder, text):
    (own_folder / "weights.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"weights\.toml"):
        catalogue()


def test_the_users_folder(monkeypatch, own_folder):
    assert user_folder() == own_folder
    monkeypatch.delenv("FAIRFORGE_WEIGHTS")
    assert user_folder().parts[-3:] == ("share", "fairforge", "weights")
