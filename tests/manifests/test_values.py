"""The one reader of values: every spelling of what is missing, of labels, numbers, words, ages and paths."""

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest

from manifests.taxonomy import AGES, TAXONOMIES
from manifests.values import (
    OWN_WORDS,
    BadValue,
    age_word,
    gender_word,
    integer_of,
    is_missing,
    label_of,
    number_of,
    race_word,
    relative_path,
    split_word,
    text_of,
    word_of,
)

MISSING = [
    "",
    " ",
    "NA",
    "N/A",
    "n/a",
    "<NA>",
    "nan",
    "NaN",
    "NAN",
    "-nan",
    "null",
    "NULL",
    "none",
    "None",
    "unknown",
    "Unknown",
    "UNDEFINED",
    "n.a",
    "N\\A",
    "Unspecified",
    "Not available",
    "not applicable",
    "<unk>",
    "...",
    "-",
    "--",
    " ? ",
    "#N/A",
    "#NA",
    "NaT",
    "\\N",
    None,
    math.nan,
    np.float32("nan"),
    np.datetime64("NaT"),
    pa.scalar(None, pa.string()),
]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_missing_values(value):
    assert is_missing(value)
    assert text_of(value) is None
    assert (race_word(value, TAXONOMIES["ffpp"]), gender_word(value), age_word(value)) == (None, None, None)
    for read in (label_of, number_of, integer_of):
        with pytest.raises(BadValue, match="this is missing"):
            read(value, "this")


@pytest.mark.parametrize(
    "value", ["0", 0, 0.0, "no", "Nana", "x-y", "none of these", False, "Nauru", "unknown soldier"]
)
def test_values_that_are_there(value):
    assert not is_missing(value)


def test_words_that_a_column_has_its_own_meaning_for():
    assert [text_of(word, keep=OWN_WORDS) for word in ("none", "Unknown", "NA", "")] == [
        "none",
        "Unknown",
        None,
        None,
    ]


@pytest.mark.parametrize(
    "value",
    [
        0,
        "0",
        "0.0",
        0.0,
        "00",
        "0e0",
        False,
        "false",
        "FALSE",
        "real",
        " Real ",
        np.int8(0),
        np.float64(0),
        np.bool_(False),
        np.str_("REAL"),
        pa.scalar(0),
        np.array(0),
    ],
    ids=repr,
)
def test_real(value):
    assert label_of(value) == 0
    assert isinstance(label_of(value), int)


@pytest.mark.parametrize(
    "value",
    [
        1,
        "1",
        "1.0",
        "1.",
        1.0,
        "+1",
        True,
        "true",
        "TRUE",
        "fake",
        " FAKE",
        np.int64(1),
        np.float32(1),
        np.bool_(True),
        pa.scalar(True),
    ],
    ids=repr,
)
def test_fake(value):
    assert label_of(value) == 1


@pytest.mark.parametrize(
    "value", ["2", "-1", "0.5", 0.5, "maybe", "1,0", "yes", [], {}, "0x1", "１", b"1", "inf", "1e999"]
)
def test_no_label(value):
    with pytest.raises(BadValue, match=r"^label is not 0, 1, real, fake, true or false: "):
        label_of(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1.5", 1.5),
        (" -3 ", -3),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5),
        (7, 7),
        (np.float32(0.5), 0.5),
        ("1E2", 100),
    ],
)
def test_numbers(value, number):
    assert number_of(value) == number


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0,5", "score has a comma where the decimal point belongs: '0,5'"),
        ("1_0", "score is not a number"),
        ("٣", "not a number"),
        ("1.2.3", "not a number"),
        (True, "not a number"),
        ([1], "not a number"),
        ("0x1", "not a number"),
        ("inf", "not a finite number"),
        (-math.inf, "not a finite number"),
        ("1e999", "not a finite number"),
        ("9" * 9999, "not a finite number"),
        ("85%", "not a number"),
    ],
)
def test_no_numbers(value, words):
    with pytest.raises(BadValue, match="score") as caught:
        number_of(value, "score")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


def test_infinity_where_it_is_asked_for():
    assert [number_of(v, finite=False) for v in ("inf", "-Infinity", math.inf)] == [
        math.inf,
        -math.inf,
        math.inf,
    ]


def test_integers():
    assert [integer_of(v) for v in ("7", "7.0", 7.0, "7e0", np.float64(7), "+7", "007")] == [7] * 7
    assert integer_of("123456789012345678") == 123456789012345678
    for value, words in (
        ("7.5", "not a whole"),
        ("11", "tone is above 10"),
        ("0", "tone is below 1"),
        (True, "not a"),
    ):
        with pytest.raises(BadValue, match=words):
            integer_of(value, "tone", 1, 10)


def test_text():
    assert [text_of(v) for v in (" a b ", 7, 7.0, 7.5, np.float64(3), True)] == [
        "a b",
        "7",
        "7",
        "7.5",
        "3",
        "True",
    ]
    for value in ([], {}, ["White"], {"a": 1}):
        with pytest.raises(BadValue, match="race is not a single value"):
            text_of(value, "race")


@pytest.mark.parametrize("taxonomy", list(TAXONOMIES))
def test_races_of_every_taxonomy_in_any_case(taxonomy):
    found = TAXONOMIES[taxonomy]
    for race in found.races:
        for spelling in (
            race,
            race.lower(),
            race.upper(),
            f" {race.title()} ",
            race.replace("_", " "),
            race.replace(" ", "-"),
        ):
            assert race_word(spelling, found) == race
    assert race_word("Martian", found) == "Martian"


def test_races_of_fairface_in_a_taxonomy_that_has_them_not():
    assert [race_word(v, TAXONOMIES["ffpp"]) for v in ("east asian", "LATINO HISPANIC", "Asian")] == [
        "East Asian",
        "Latino_Hispanic",
        "asian",
    ]


def test_splits():
    assert [split_word(v) for v in ("train", "VAL", " Test ", "validation", "NA", None)] == [
        "train",
        "val",
        "test",
        "val",
        None,
        None,
    ]
    for value in ("dev", 1, True):
        with pytest.raises(BadValue, match="split is not one of train, val, test"):
            split_word(value)


def test_genders():
    assert {gender_word(v) for v in ("male", "Male", "MALE", " male ", "M", "m", "man", "men")} == {"Male"}
    assert {gender_word(v) for v in ("female", "Female", "FEMALE", "F", "woman", "Women")} == {"Female"}
    assert gender_word("other") == "other"
    assert word_of("ÄPFEL", ("Äpfel",)) == "Äpfel"


AGES_OF = {
    "3-9": [
        "3-9",
        " 3-9 ",
        "3 - 9",
        "3–9",
        "9-Mar",
        "09-Mar",
        "9-March",
        "Mar-9",
        "Mar-09",
        "March 9",
        "9 mar",
        "3-Sep",
        "9. Mrz",
        "09. Mär",
        "9-mars",
        "03-Sep",
        "Sep-03",
        "3-Sept",
        "September-3",
        "2009-03-01",
        "2024-03-09 00:00:00",
        datetime.datetime(2023, 9, 3),
        datetime.date(2023, 3, 9),
    ],
    "10-19": [
        "10-19",
        "19-Oct",
        "Oct-19",
        "OCT-19",
        "19-October",
        "2019-10-01",
        "19. Okt",
        "2023-10-19",
        datetime.datetime(2019, 10, 1),
    ],
    "more than 70": [
        "more than 70",
        "More than 70",
        "70+",
        "70 +",
        ">70",
        ">= 70",
        "over 70",
        "70 and over",
        "≥70",
        "70 or above",
        "70 and up",
    ],
    **{age: [age, f"{age} "] for age in AGES if age not in ("3-9", "10-19", "more than 70")},
}


@pytest.mark.parametrize(("age", "spellings"), AGES_OF.items())
def test_ages_of_every_spelling(age, spellings):
    assert {spelling: age_word(spelling) for spelling in spellings} == dict.fromkeys(spellings, age)


@pytest.mark.parametrize(
    "value",
    [
        "35",
        "child",
        "middle_aged",
        "0-19",
        "60+",
        "9-Sep",
        "20-Mar",
        "Oct-3",
        "1" * 5000 + "-Mar",
        "2024-01-01",
    ],
)
def test_ages_that_are_no_band_stay_as_they_are(value):
    assert age_word(value) == value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b.png", "a/b.png"),
        ("a\\b.png", "a/b.png"),
        ("./a.png", "a.png"),
        (".\\a\\.\\b.png", "a/b.png"),
        ("a//b.png", "a/b.png"),
        (" a.png ", "a.png"),
        ("12:00.png", "12:00.png"),
        ("a/x:y.png", "a/x:y.png"),
        ("..a.png", "..a.png"),
        ("é b.png", "é b.png"),
        ("nan", "nan"),
        ("none", "none"),
        ("-", "-"),
    ],
)
def test_paths(value, path):
    assert relative_path(value) == path


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("/etc/passwd", "leaves the folder"),
        ("../a.png", "leaves the folder"),
        ("a/../../b.png", "leaves the folder"),
        ("a\\..\\b.png", "leaves the folder"),
        ("C:\\a.png", "leaves the folder"),
        ("c:a.png", "leaves the folder"),
        ("\\\\server\\a.png", "leaves the folder"),
        ("file://a.png", "leaves the folder"),
        ("https://a.b/c.png", "leaves the folder"),
        (".", "is the folder itself"),
        ("./", "is the folder itself"),
        ("", "is missing"),
        (None, "is missing"),
        (math.nan, "is missing"),
        (5, "is missing"),
        ("a\0b", "no name of a file"),
        ("x" * 256, "no name of a file"),
        ("\ud800.png", "no name of a file"),
    ],
)
def test_no_paths(value, words):
    with pytest.raises(BadValue, match=words):
        relative_path(value)
