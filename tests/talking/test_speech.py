"""Speech: the same samples each time, phonemes that cover it, voices, and a message without espeak-ng."""

import numpy as np
import pytest

from generators.talking import speech
from generators.talking.sentences import SENTENCES
from generators.talking.speech import RATE, VOICES, Voice, draw_voice, espeak_version, speak
from generators.talking.tracks import GAIN, LOUDNESS, said_again, same_place, speech_track, window
from generators.talking.visemes import FIRST, REST, targets_of
from manifests.errors import DataError, MissingError, UsageError
from manifests.seeding import rng_of
from tests.talking.speakers import NEEDS_ESPEAK

pytestmark = NEEDS_ESPEAK
SILENT = ("_", "?", ";")
"""Pauses, the glottal stop, and the mark that a consonant is soft."""
VOICE = Voice("en-us+m3", 40, 50, 160)


def test_a_sentence_has_the_same_samples_whatever_was_said_before():
    first = speak("My boat is big.", VOICE)
    speak("Something else, by somebody else.", Voice("en-gb-x-rp+f2", 60, 40, 170))
    again = speak("My boat is big.", VOICE)
    assert np.array_equal(first.sound, again.sound)
    assert first.phones == again.phones
    assert not np.array_equal(first.sound, speak("My boat is big.", Voice("en-us+m4", 40, 50, 160)).sound)


def test_phonemes_follow_one_another_to_the_end_of_the_sound():
    said = speak("My boat is big.", VOICE)
    names = [phone.name for phone in said.phones]
    assert names[:3] == ["m", "aI", "b"]
    assert said.sound.dtype == np.float32
    assert all(a.end == b.start for a, b in zip(said.phones, said.phones[1:], strict=False))
    assert said.phones[-1].end == pytest.approx(len(said.sound) / RATE, abs=0.01)
    assert [name for name in names if name in ("m", "b")] == ["m", "b", "b"]


def test_every_voice_of_every_accent_speaks():
    for gender, variants in VOICES.items():
        for variant in variants:
            assert len(speak("Yes.", Voice(f"en-us+{variant}", 50, 50, 160)).sound) > RATE // 8, (
                gender,
                variant,
            )
    for accent in speech.ACCENTS:
        assert len(speak("Yes.", Voice(f"{accent}+m1", 50, 50, 160)).sound) > RATE // 8


def test_every_phoneme_of_the_sentences_has_a_mouth_shape():
    """In every accent, what is not silence is more than a mouth at rest."""
    for accent in speech.ACCENTS:
        said = speak(" ".join(SENTENCES[::2]), Voice(f"{accent}+m3", 40, 50, 170))
        unknown = {p.name for p in said.phones if targets_of(p.name) == (REST,) and p.name[:1] not in SILENT}
        assert unknown == set(), accent
    assert set(FIRST) >= {"m", "b", "p", "f", "v"}


def test_a_voice_is_of_the_gender_and_another_one_where_one_is_taken():
    rng = rng_of(3, "voices")
    for gender, variants in VOICES.items():
        one = draw_voice(gender, rng)
        assert one.name.partition("+")[2] in variants
        assert all(draw_voice(gender, rng, one).name != one.name for _ in range(20))
    with pytest.raises(UsageError, match="has no voices"):
        draw_voice("Robot", rng)


def test_without_espeak_there_is_a_message_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speech, "espeak_library", lambda: None)
    with pytest.raises(MissingError, match="espeak-ng") as caught:
        speak("Hello.", VOICE)
    assert "apt-get install espeak-ng" in caught.value.fix


def test_an_unknown_voice_and_a_broken_library_are_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match="has no voice"):
        speak("Hello.", Voice("zz-none+m1", 40, 50, 160))
    monkeypatch.setattr(speech, "espeak_library", lambda: "libnothing-of-this-name.so")
    with pytest.raises(DataError, match="it failed"):
        speak("Hello.", VOICE)


def test_the_version_is_known():
    assert espeak_version()[:1].isdigit()


def test_a_track_is_long_enough_and_says_the_same_again_by_another_voice():
    track = speech_track(VOICE, rng_of(1, "t"), 5.0)
    assert track.seconds >= 5
    again = speech_track(VOICE, rng_of(1, "t"), 5.0)
    assert (again.texts, again.gaps, again.phones) == (track.texts, track.gaps, track.phones)
    assert np.array_equal(track.sound, again.sound)
    faster = said_again(track, Voice("en-us+m5", 40, 50, 190))
    assert faster.texts == track.texts
    assert faster.seconds < track.seconds
    middle = track.phones[len(track.phones) // 2]
    place = same_place(track, faster, middle.start + 1e-6)
    assert faster.phones[len(track.phones) // 2].start == pytest.approx(place, abs=1e-3)


def test_windows_have_no_silence_and_loudness_of_one_range():
    from manifests.clips.silence import leading_silence, trailing_silence

    track = speech_track(VOICE, rng_of(1, "t"), 4.0)
    levels = []
    for number in range(12):
        sound = window(track, 0.2 * number, 1.0, rng_of(number, "w"))
        assert len(sound) == RATE
        assert leading_silence(sound) < 0.005
        assert trailing_silence(sound) < 0.005
        levels.append(20 * np.log10(np.sqrt(np.mean(sound**2)) / LOUDNESS))
    assert GAIN[0] - 0.3 < min(levels) < -0.5
    assert 0.5 < max(levels) < GAIN[1] + 0.3
