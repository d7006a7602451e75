"""Seeds depend on what a sample is, and on nothing else."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.seeding import normal_of, rng_of, seed_of

PART = st.one_of(st.text("ab:1é/ ", max_size=12), st.integers(-(2**40), 2**40))


@given(st.integers(0, 2**62), st.lists(PART, max_size=5))
def test_seed_is_63_bits_and_repeatable(run_seed, parts):
    seed = seed_of(run_seed, *parts)
    assert 0 <= seed < 2**63
    assert seed == seed_of(run_seed, *parts)


@given(st.lists(PART, max_size=4), st.lists(PART, max_size=4))
def test_different_parts_give_different_seeds(left, right):
    typed = ([(type(p), p) for p in side] for side in (left, right))
    assert (seed_of(0, *left) == seed_of(0, *right)) == (next(typed) == next(typed))


@pytest.mark.parametrize(("left", "right"), [(("ab", "c"), ("a", "bc")), (("1",), (1,)), (("a", ""), ("a",))])
def test_concatenation_and_type_do_not_collide(left, right):
    assert seed_of(3, *left) != seed_of(3, *right)


def test_seed_is_the_documented_hash():
    text = b"".join(len(p).to_bytes(4, "little") + p for p in (b"int:1", b"str:sample", b"int:7"))
    digest = hashlib.blake2b(text, digest_size=8).digest()
    assert seed_of(1, "sample", 7) == int.from_bytes(digest, "little") >> 1


def test_seed_is_the_same_in_another_process():
    code = "from manifests.seeding import seed_of; print(seed_of(5, 'forge', 'White/Male', 12))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77"}
    ).stdout
    assert int(out) == seed_of(5, "forge", "White/Male", 12)


def test_normal_rows_do_not_depend_on_their_neighbours():
    keys = [("z", "White/Male", k) for k in range(20)]
    whole = normal_of(9, keys, 64)
    assert whole.dtype == np.float32
    assert whole.shape == (20, 64)
    np.testing.assert_array_equal(whole[7:9], normal_of(9, keys[7:9], 64))
    np.testing.assert_array_equal(whole[::-1], normal_of(9, keys[::-1], 64))
    assert abs(whole.mean()) < 0.1
    assert abs(whole.std() - 1) < 0.1


def test_no_rows_give_an_empty_array():
    assert normal_of(0, [], 8).shape == (0, 8)


def test_global_random_state_is_neither_read_nor_changed():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = rng_of(1, "x").random(5)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.testing.assert_array_equal(first, rng_of(1, "x").random(5))
