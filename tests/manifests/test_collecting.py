"""Garbage collection waits inside the block, and is as before behind it."""

import gc

import pytest

from manifests.collecting import nothing_collected


def test_collection_is_back_behind_the_block_and_behind_an_error():
    with nothing_collected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), nothing_collected():
        raise ValueError("x")
    assert gc.isenabled()


def test_where_it_was_off_it_stays_off():
    gc.disable()
    try:
        with nothing_collected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
