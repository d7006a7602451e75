"""Keeping freed memory in the process: batch after batch frees and asks for the same large arrays."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep large freed blocks instead of giving each back to the kernel; True where it
    took effect.

    By default every array over 32 MiB is mapped anew and its pages are zeroed at first touch, which costs the
    more the larger the images are. Other C libraries and platforms have no `mallopt`: nothing happens there.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
