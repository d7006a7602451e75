"""What each loss costs in a training step: `python benchmarks/losses.py [--batch 32] [--size 64] [--device
cpu]`.

One JSON line per loss, on the preset resnet10t-narrow with drawn images: milliseconds of a whole step
(forward, loss, backward), of the loss's forward alone, and the step against plain cross entropy at the same
number of rows. The best of `--repeats`; on the CPU processor time, all threads added, else wall time. QAD
sees batch / 2 images at two qualities, without weight perturbation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch

from detector.losses import LOSSES, Given, Targets
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from detector.training.batches import network_inputs

HEADS = {
    "race": ("a", "b", "c", "d"),
    "gender": ("m", "f"),
    "cell": tuple(f"c{k}" for k in range(8)),
    "family": ("none", "swap", "blend"),
}


def drawn(batch: int, size: int, device: str) -> Targets:
    """A batch with everything that any loss needs."""
    g = torch.Generator().manual_seed(0)
    place, half = torch.arange(batch), batch // 2
    groups = {name: torch.randint(0, len(classes), (batch,), generator=g) for name, classes in HEADS.items()}
    fake = (place % 2).float()
    return Targets(
        fake.to(device),
        {k: v.to(device) for k, v in groups.items()},
        images=torch.randn(batch, 3, size, size, generator=g).to(device),
        masks=(torch.rand(batch, size, size, generator=g) * fake[:, None, None]).to(device),
        pairs=(place // 2).to(device),
        tuples=(place % half).to(device),
        qualities=(place // half).to(device),
    )


def best_of(repeats: int, run: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """The least of each of two times, in milliseconds."""
    times = [run() for _ in range(repeats)]
    return 1e3 * min(t for t, _ in times), 1e3 * min(t for _, t in times)


def measured(name: str, truth: Targets, size: int, device: str, repeats: int) -> tuple[float, float]:
    """Milliseconds of a step, and of the loss's forward."""
    loss = LOSSES.create(name)
    given = Given(tuple(HEADS), {**{k: (10,) * len(v) for k, v in HEADS.items()}, "fake": (10, 20)}, 2, True)
    loss.prepare(given)
    needs = loss.needs
    network = (
        build_network(
            NetworkConfig(
                backbone="resnet10t-narrow",
                input_size=size,
                residual_input=True,
                heads=HEADS,
                cosine=dict(needs.cosine),
                layers=needs.layers,
                mask_decoder=needs.masks,
                architecture="single" if needs.network == "any" else needs.network,
            ),
            1,
        )
        .to(device)
        .train()
    )

    def now() -> float:
        if device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def step() -> tuple[float, float]:
        start = now()
        outputs = network(*network_inputs(network.config, truth))
        before = now()
        value = loss(outputs, truth, 0.0)
        after = now()
        value.backward()
        return now() - start, after - before

    return best_of(repeats, step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    truth = drawn(flags.batch, flags.size, flags.device)
    plain, _ = measured("cross-entropy", truth, flags.size, flags.device, flags.repeats)
    for name in LOSSES.names():
        step, own = measured(name, truth, flags.size, flags.device, flags.repeats)
        line = {
            "loss": name,
            "step_ms": round(step, 1),
            "loss_ms": round(own, 2),
            "against_plain": round(step / plain, 2),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
