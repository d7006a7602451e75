"""What every process that works on shards does first: one thread, so that results do not depend on how many
cores there are.
"""

from __future__ import annotations

import os
import sys

from manifests.allocator import keep_freed_memory

THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)
"""The environment of a process of one thread."""


def check_device(device: str) -> str:
    """`device` itself, where it is on this machine; `cpu` is known without loading torch.

    Raises:
        UsageError, MissingError: as `nn.devices.torch_device`.
    """
    if device != "cpu":
        from nn.devices import torch_device

        torch_device(device)
    return device


def one_thread() -> None:
    """One thread for torch and OpenCV in this process: kernels then add in one order. Freed memory is kept
    for the next batch.

    What is not imported yet reads it from the environment when it is: workers whose stage needs no torch do
    without it.
    """
    os.environ.update(THREADS)
    keep_freed_memory()
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
