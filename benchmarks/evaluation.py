"""Import, scoring and bootstrap from 10 thousand rows on: `python benchmarks/evaluation.py [--rows 10000
100000]`.

One process. Prints one JSON line per part and size: wall and processor seconds, and the most memory the
process had so far. Rows are drawn: videos of 32 frames, 7 x 2 groups, every score different. Pictures are
noise of 64 px; videos are 640 x 360 px with one generated face each; the detector is the small default
backbone with random weights, which cost the same as trained ones.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from detector import fairness
from manifests.adapters import ADAPTERS, import_images
from manifests.images import encode
from manifests.seeding import rng_of
from manifests.store import write_table
from pipeline.engine.executors import one_thread
from pipeline.stages.evaluate.score_files import read_scores

FRAMES = 32


def drawn(rows: int) -> dict[str, Any]:
    """Columns of a score file of `rows` frames."""
    rng = rng_of(0, "benchmark", "scores", rows)
    video = np.arange(rows) // FRAMES
    n = int(video[-1]) + 1
    race, gender = rng.integers(0, 7, n)[video], rng.integers(0, 2, n)[video]
    label = rng.integers(0, 2, n)[video]
    score = 1 / (1 + np.exp(-rng.normal(label - 0.5, 1.0) - rng.normal(0, 0.5, n)[video]))
    return {
        "image_id": [f"i{k:08d}" for k in range(rows)],
        "label": label,
        "score": score,
        "race": [f"r{r}" for r in race],
        "gender": [("Male", "Female")[g] for g in gender],
        "identity_id": [f"v{v}" for v in video],
        "cell": [f"r{r}/{g}" for r, g in zip(race, gender, strict=True)],
    }


def timed(part: str, rows: int, work: Callable[[], Any]) -> Any:
    """Do the work and print what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "part": part,
                "rows": rows,
                "wall_s": round(time.perf_counter() - wall, 2),
                "cpu_s": round(time.process_time() - cpu, 2),
                "peak_mib": peak // 1024,
            }
        ),
        flush=True,
    )
    return value


def purdue_csv(folder: Path, rows: int) -> Path:
    """A CSV of PG-FDD with `rows` rows."""
    path = folder / f"purdue-{rows}.csv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("img_path,label,ismale,isasian,iswhite,isblack,intersec_label,spe_label\n")
        file.writelines(f"v{k // FRAMES}/{k}.png,{k % 2},1,-1,1,-1,1,{k % 2}\n" for k in range(rows))
    return path


def image_folder(folder: Path, images: int) -> Path:
    """`images` different pictures of 64 px in real/ and fake/."""
    for kind in ("real", "fake"):
        (folder / kind).mkdir(parents=True)
    for k in range(images):
        pixels = rng_of(0, "benchmark", "image", k).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        (folder / ("real", "fake")[k % 2] / f"{k}.png").write_bytes(encode(pixels, "png"))
    return folder


def video_tree(folder: Path, videos: int) -> Path:
    """A tree of Celeb-DF with `videos` clips of 32 frames, a generated face in each."""
    import av

    from generators import load_generator
    from generators.sampling import draw_z, map_latents, synthesize
    from manifests.images import resize

    for name in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        (folder / name).mkdir(parents=True)
    (folder / "List_of_testing_videos.txt").write_text("", encoding="utf-8")
    generator = load_generator("starter64")
    faces = synthesize(
        generator,
        map_latents(generator, draw_z(1, [("face", k) for k in range(videos)], generator.z_dim), psi=0.7),
    )
    for k, face in enumerate(faces):
        picture = np.full((360, 640, 3), 90, np.uint8)
        picture[80:240, 200:360] = resize(face, 160)
        with av.open(str(folder / "Celeb-real" / f"id{k}_0000.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.bit_rate = 640, 360, 4_000_000
            for _ in range(FRAMES):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return folder


def untrained_detector(folder: Path) -> Path:
    """A checkpoint of the default backbone with random weights."""
    from detector.inference.checkpoints import save_checkpoint
    from detector.models.network import build_network
    from detector.models.network_config import NetworkConfig
    from detector.models.starting_weights import input_size_of
    from detector.training.settings import TrainSettings

    name = TrainSettings().backbone
    config = NetworkConfig(
        backbone=name, input_size=input_size_of(name), residual_input=True, residual_norm=True
    )
    save_checkpoint(folder / "checkpoint.safetensors", config, build_network(config, 0).state_dict(), {})
    return folder


def time_pictures(folder: Path, images: int, videos: int) -> None:
    """Import and scoring of pictures, import of videos with face crops."""
    from detector import load_detector
    from pipeline.faces.frame_crops import FrameCropper
    from pipeline.stages.evaluate.image_scores import score_in_parts

    model = load_detector(untrained_detector(folder))
    for count in (images // 4, images):
        source, imported = image_folder(folder / f"images-{count}", count), folder / f"imported-{count}"
        timed("import with images", count, lambda s=source, o=imported: import_images("folder", s, o))
        timed(
            "score images",
            count,
            lambda o=imported, c=count: score_in_parts(model, "", o, None, folder / f"scoring-{c}"),
        )
    for count in (videos // 4, videos):
        tree = video_tree(folder / f"videos-{count}", count)
        timed(
            "import frames of videos, faces cropped",
            count * FRAMES,
            lambda t=tree, c=count: import_images(
                "celebdf", t, folder / f"faces-{c}", params={"frames": FRAMES}, crop=FrameCropper()
            ),
        )


def main() -> None:
    """Time every part at every size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--images",
        type=int,
        default=4000,
        help="for import and scoring of pictures, and a quarter of it; 0: none",
    )
    parser.add_argument("--videos", type=int, default=8, help="for the import of videos, and a quarter of it")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", default=["cell"], choices=["race", "gender", "cell"])
    arguments = parser.parse_args()
    one_thread()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.images:
            time_pictures(folder, arguments.images, arguments.videos)
        for rows in arguments.rows:
            table = purdue_csv(folder, rows)
            timed(
                "rows of an adapter", rows, lambda t=table: sum(1 for _ in ADAPTERS.create("purdue").read(t))
            )
            path = folder / f"scores-{rows}.parquet"
            write_table(pa.table(drawn(rows)), path)
            (scores,) = timed("read and check scores", rows, lambda p=path: read_scores(p)).values()
            groups = {kind: scores.groups[kind] for kind in arguments.kinds}
            timed(
                f"report, {arguments.replicates} replicates",
                rows,
                lambda s=scores, g=groups: fairness.report(
                    s.label, s.score, g, s.clusters, replicates=arguments.replicates
                ),
            )


if __name__ == "__main__":
    main()
