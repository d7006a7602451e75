"""Each forgery of clips changes what it says it changes, and no more; the same scenes give the same fake."""

import numpy as np
import pytest

from generators.talking.base import CLIP_FORGERIES
from generators.talking.speech import RATE
from manifests.errors import UsageError
from manifests.families import FAMILIES
from tests.talking.speakers import FRAMES, NEEDS_ESPEAK, scene

pytestmark = NEEDS_ESPEAK


@pytest.fixture(scope="module")
def scenes():
    return scene(0), scene(1)


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_all_are_known_with_families_of_a_manifest():
    names = CLIP_FORGERIES.names()
    assert {"av-foreign", "av-shift", "av-redrive", "av-face-swap", "av-revoice"} <= {*names}
    assert all(entry.family in FAMILIES.names() and entry.summary for entry in CLIP_FORGERIES.entries())
    with pytest.raises(UsageError, match="did you mean av-shift"):
        CLIP_FORGERIES.get("av-shfit")


@pytest.mark.parametrize("name", CLIP_FORGERIES.names())
def test_a_fake_has_the_length_of_its_clip_its_record_and_the_same_bytes_each_time(scenes, name: str):
    made = CLIP_FORGERIES.create(name).forge(*scenes)
    again = CLIP_FORGERIES.create(name).forge(scene(0), scene(1))
    assert len(made.frames) == FRAMES
    assert made.sound.shape == scenes[0].sound.shape == (FRAMES * 640,)
    assert np.array_equal(made.sound, again.sound)
    assert same(made.frames, again.frames)
    assert made.record == again.record
    assert (made.record.method, made.record.target_id) == (name, "face-0")
    changed = (not same(made.frames, scenes[0].pictures), not np.array_equal(made.sound, scenes[0].sound))
    assert changed == (
        name in ("av-redrive", "av-face-swap"),
        name in ("av-foreign", "av-shift", "av-revoice"),
    )


def test_foreign_sound_is_the_others_and_names_them(scenes):
    made = CLIP_FORGERIES.create("av-foreign").forge(*scenes)
    assert np.array_equal(made.sound, scenes[1].sound)
    assert made.record.driver_id == "face-1"


def test_shifted_sound_is_off_by_what_the_record_says(scenes):
    made = CLIP_FORGERIES.create("av-shift").forge(*scenes)
    shift = made.record.params["shift"]
    assert 0.2 <= abs(shift) <= 0.5
    first = round((scenes[0].start + shift) * RATE)
    heard = scenes[0].track.sound[first : first + len(made.sound)]
    assert np.corrcoef(heard, made.sound)[0, 1] > 0.97
    assert abs(np.corrcoef(scenes[0].sound, made.sound)[0, 1]) < 0.5


def test_both_directions_of_a_shift_are_drawn():
    drawn = [
        CLIP_FORGERIES.create("av-shift").parts(one, None, one.rng("x", k)).drawn["shift"]
        for one in [scene(0)]
        for k in range(12)
    ]
    assert min(drawn) < 0 < max(drawn)


def test_a_swap_changes_the_face_and_not_the_corners(scenes):
    made = CLIP_FORGERIES.create("av-face-swap").forge(*scenes)
    assert made.record.source_id == "face-1"
    for before, after in zip(scenes[0].pictures, made.frames, strict=True):
        assert np.array_equal(before[:3], after[:3])
        assert np.abs(before.astype(int) - after).max() > 10
    jumps = [np.abs(a.astype(int) - b).mean() for a, b in zip(made.frames, made.frames[1:], strict=False)]
    own = [
        np.abs(a.astype(int) - b).mean()
        for a, b in zip(scenes[0].pictures, scenes[0].pictures[1:], strict=False)
    ]
    assert np.mean(jumps) < 2 * np.mean(own) + 0.5


def test_a_swap_by_another_forgery_of_pictures(scenes):
    made = CLIP_FORGERIES.create("av-face-swap", {"forgery": "blend-self"}).forge(*scenes)
    assert made.record.params["forgery"] == "blend-self"
    with pytest.raises(UsageError, match="is no forgery of pictures"):
        CLIP_FORGERIES.create("av-face-swap", {"forgery": "mouth-swap"})


def test_faces_that_look_two_ways_are_swapped_all_the_same():
    left, right = scene(0, yaw=-0.2), scene(1, yaw=0.2)
    assert CLIP_FORGERIES.create("av-face-swap").forge(left, right).record.source_id == "face-1"


def test_another_voice_says_the_same_a_little_faster_or_slower(scenes):
    made = CLIP_FORGERIES.create("av-revoice").forge(*scenes)
    assert made.record.params["voice"] != scenes[0].voice.name
    assert made.record.params["voice"].partition("+")[0] == scenes[0].voice.name.partition("+")[0]
    assert 0.03 < abs(made.record.params["speed"] / scenes[0].voice.speed - 1) < 0.13


def test_a_second_scene_is_asked_for_and_ranges_are_checked(scenes):
    with pytest.raises(UsageError, match="needs another person's voice"):
        CLIP_FORGERIES.create("av-foreign").forge(scenes[0], None)
    with pytest.raises(UsageError, match="shift"):
        CLIP_FORGERIES.create("av-shift", {"shift": (0.5, 0.2)})
    with pytest.raises(UsageError, match="rate"):
        CLIP_FORGERIES.create("av-revoice", {"rate": (0.1, 0.9)})
