"""Whether losses, heads, data and network fit together: said before the first step, with what to change."""

from __future__ import annotations

from collections.abc import Sequence

from detector.losses.base import DEMOGRAPHIC, Given, Needs
from detector.models.architectures import ARCHITECTURES
from manifests.errors import UsageError, UserError


def _fail(name: str, why: str, fix: str) -> UserError:
    return UsageError(f"loss {name!r}", why, fix)


def _check_heads(name: str, needs: Needs, given: Given) -> None:
    missing = [head for head in needs.heads if head != "fake" and head not in given.heads]
    if missing:
        raise _fail(
            name,
            f"needs the head {' and '.join(missing)}, and heads is {list(given.heads)}",
            f"add it: heads = {[*given.heads, *missing]}",
        )
    if needs.demographic_head and not set(DEMOGRAPHIC) & set(given.heads):
        raise _fail(
            name,
            f"needs demographic heads, and heads is {list(given.heads) or 'empty'}",
            'name heads (race, gender, or cell), or choose loss = "cross-entropy"',
        )


def check(name: str, needs: Needs, given: Given) -> None:
    """Raise what does not fit; nothing is returned.

    Raises:
        UsageError: a head, quality tuples, a mask decoder, counts or groups that the loss needs and nothing
            gives.
    """
    _check_heads(name, needs, given)
    if needs.tuples and given.qualities < 2:
        raise _fail(
            name,
            "compares each image at several qualities, and qualities has fewer than two",
            'set e.g. qualities = ["raw", "jpeg:30-90", "down:2-4"]',
        )
    if needs.masks and not given.mask_decoder:
        raise _fail(name, "needs the mask decoder, which is off", "set mask_decoder = true")
    for group in (*needs.groups, *needs.counts):
        if sum(given.counts.get(group, ())) == 0:
            raise _fail(
                name,
                f"groups by {group}, and no training row has a known {group}"
                if group != "fake"
                else "needs the number of real and of fake training rows, which were not counted",
                f"fill the column `{group}` of the manifest, or choose another loss",
            )
    for group in needs.groups:
        if sum(n > 0 for n in given.counts[group]) < 2:
            raise _fail(
                name,
                f"compares groups of {group}, and the training rows have only one",
                "choose another loss",
            )
    if needs.network != "any":
        modes = ARCHITECTURES.create(needs.network).head_modes
        if given.head_mode not in modes:
            raise _fail(
                name,
                f"trains the network {needs.network}, with which head_mode {given.head_mode!r} does not go",
                f"choose one of: {', '.join(modes)}",
            )


def check_trained(trains: Sequence[str], given: Given) -> None:
    """Whether what the settings turn on is trained by some loss. trains: heads that the losses train.

    Raises:
        UsageError: a mask decoder, or a head mode, without a loss for it.
    """
    if given.mask_decoder and "mask" not in trains:
        raise UsageError(
            "mask_decoder = true",
            "and no loss trains the decoder",
            'add "+ forgery-mask" to loss',
        )
    if given.head_mode != "shared" and not set(DEMOGRAPHIC) & set(trains) & set(given.heads):
        raise UsageError(
            f"head_mode = {given.head_mode!r}",
            "and no loss trains a demographic head",
            'add "+ 0.1 * demographic" to loss and name heads, or leave head_mode at "shared"',
        )


def merge(needs: list[tuple[str, Needs]]) -> Needs:
    """What several losses need together.

    Raises:
        UsageError: one needs another network than another, or another scale of the same head.
    """
    networks = {n.network: name for name, n in needs if n.network != "any"}
    if len(networks) > 1:
        raise UsageError(
            "loss " + " + ".join(name for name, _ in needs),
            " and ".join(f"{name} needs the {network} network" for network, name in networks.items()),
            "train them one at a time",
        )
    cosine: dict[str, float] = {}
    for name, need in needs:
        for head, scale in need.cosine.items():
            if cosine.setdefault(head, scale) != scale:
                raise UsageError(
                    f"loss {name!r}",
                    f"wants scale {scale} of the head {head}, another loss {cosine[head]}",
                    "give both the same scale in loss_params",
                )
    every = [n for _, n in needs]
    return Needs(
        heads=tuple(dict.fromkeys(h for n in every for h in n.heads)),
        demographic_head=any(n.demographic_head for n in every),
        groups=tuple(dict.fromkeys(g for n in every for g in n.groups)),
        counts=tuple(dict.fromkeys(g for n in every for g in n.counts)),
        layers=max((n.layers for n in every), default=0),
        cosine=cosine,
        tuples=any(n.tuples for n in every),
        masks=any(n.masks for n in every),
        network=next(iter(networks), "any"),
    )
