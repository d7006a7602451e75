"""Whether the network that a file's header describes is the one its tensors are of, before anything is
allocated for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from manifests.errors import DataError

SHOWN = 3


def check_blueprint(
    build: Callable[[], nn.Module], state: Mapping[str, Tensor], source: str, fix: str
) -> None:
    """Build the network without memory for its weights, and compare names and shapes.

    A header can name the largest model there is in a few letters; its tensors must be there, too.

    Args:
        build: makes the network, weights random.
        state: the file's tensors.
        source: the file.
        fix: what to do about it.

    Raises:
        DataError: no network can be built of the header, or its tensors are others; up to three are named.
        UserError: as `build` raises it.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    except (
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        AssertionError,
        AttributeError,
        IndexError,
    ) as error:
        why = (
            f"its header describes no network that can be built ({type(error).__name__}: {str(error)[:200]})"
        )
        raise DataError(source, why, fix) from error
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in wanted]
    wrong += [
        f"{name} is {list(found[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if found.get(name, shape) != shape
    ]
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataError(source, f"its weights do not fit its header: {'; '.join(wrong[:SHOWN])}{more}", fix)
