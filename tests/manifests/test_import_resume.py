"""An import that was killed goes on after its last whole part, and ends in the same bytes as one that was
not.
"""

import numpy as np
import pytest

from manifests.adapters import import_images, import_parts
from manifests.images import encode
from tests.manifests.test_video_adapters import celebdf_tree, ffpp_tree, frames

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(import_parts, "ROWS", 4)


class Killer:
    """A crop that counts what it sees and stops the import at its `at`-th picture."""

    key = "the same"

    def __init__(self, at=None):
        self.at, self.seen = at, []

    def __call__(self, image, item):
        self.seen.append(item.key)
        if len(self.seen) == self.at:
            raise KeyboardInterrupt
        return image


def folder_tree(root):
    for k in range(11):
        kind = root / ("real", "fake")[k % 2]
        kind.mkdir(parents=True, exist_ok=True)
        (kind / f"{k}.png").write_bytes(encode(np.full((8, 8, 3), 20 * k, np.uint8), "png"))
    (root / "real" / "broken.png").write_bytes(b"no image")
    return root


def broken_lists(tree, name, text):
    """A tree whose list has bad entries, and videos that no list names."""

    def make(root):
        tree(root)
        (root / name).write_text(text)
        return root

    return make


TREES = {
    "ffpp": ffpp_tree,
    "celebdf": celebdf_tree,
    "folder": folder_tree,
    "ffpp broken": broken_lists(ffpp_tree, "val.json", '[5, ["../a", "b"], null]'),
    "celebdf broken": broken_lists(
        celebdf_tree, "List_of_testing_videos.txt", "x\n1 YouTube-real/00170.mp4\n1 ../a.mp4\n"
    ),
}


@pytest.mark.parametrize("adapter", list(TREES))
@pytest.mark.parametrize("at", [1, 6, 11])
def test_killed_and_begun_again_ends_in_the_same_bytes(tmp_path, adapter, at):
    source = TREES[adapter](tmp_path / "source")
    adapter = adapter.split()[0]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    everything = Killer()
    import_images(adapter, source, whole, crop=everything)
    with pytest.raises(KeyboardInterrupt):
        import_images(adapter, source, broken, crop=Killer(at))
    assert not (broken / "manifest.parquet").exists()
    rest = Killer()
    import_images(adapter, source, broken, crop=rest)
    for name in ("manifest.parquet", "skipped.csv"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()
    assert not (broken / "parts").exists()
    assert set(rest.seen) <= set(everything.seen)
    if at == 11:
        assert len(rest.seen) <= len(everything.seen) - 4  # what is done is not done again


def test_videos_that_are_done_are_not_decoded_again(tmp_path, monkeypatch):
    from manifests.adapters import videos

    source = celebdf_tree(tmp_path / "source")
    opened = []
    original = videos._frames
    monkeypatch.setattr(
        videos, "_frames", lambda clip, count: (opened.append(clip.name), original(clip, count))[1]
    )
    with pytest.raises(KeyboardInterrupt):
        import_images("celebdf", source, tmp_path / "out", crop=Killer(14))
    first = list(opened)
    opened.clear()
    import_images("celebdf", source, tmp_path / "out", crop=Killer())
    assert len(first) == 5
    assert set(opened) < set(first)


def test_parts_of_other_settings_are_not_mixed_in(tmp_path):
    source = folder_tree(tmp_path / "source")
    with pytest.raises(KeyboardInterrupt):
        import_images("folder", source, tmp_path / "out", crop=Killer(9))
    again = Killer()
    again.key = "another crop"
    result = import_images("folder", source, tmp_path / "out", crop=again)
    assert len(again.seen) == 11
    assert (result.n_images, result.n_skipped) == (11, 1)


def test_a_video_is_never_split_between_parts(tmp_path, monkeypatch):
    source = tmp_path / "source"
    celebdf_tree(source)
    frames(source / "Celeb-real", "id9_0000", 9)
    written = []
    original = import_parts.ImportParts.write
    monkeypatch.setattr(
        import_parts.ImportParts,
        "write",
        lambda self: (written.append([record.video_id for record in self._records]), original(self))[1],
    )
    import_images("celebdf", source, tmp_path / "out", params={"frames": 9})
    assert sum(len(part) > 4 for part in written) >= 1
    for k, part in enumerate(written):
        assert not set(part) & {video for other in written[k + 1 :] for video in other}
