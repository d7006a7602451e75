"""Training runs: data sources, exact resume, growing, learning, several processes, bad input."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PilImage

from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize
from generators.training import Phase, TrainSettings
from generators.training.images import balanced_rows, batch_rows, open_images, prepare
from generators.training.loop import TrainingRun
from generators.training.sources import read_source
from manifests.errors import DataError, MissingError, UsageError
from nn.processes import World
from nn.safetensors_files import read_metadata
from nn.tracking import listening
from pipeline.__main__ import main
from tests.generators.training_data import TINY, discs, equal, png, prepared, tensors
from tests.nn.recorder import Recorder


def test_a_run_cut_anywhere_and_resumed_ends_in_the_same_bytes(folder, tmp_path):
    settings = TrainSettings(
        phases=(Phase(resolution=8, kimg=0.048), Phase(resolution=16, kimg=0.064)),
        snapshot_kimg=0.016,
        path_weight=2.0,
        r1_interval=3,
        path_interval=2,
        fade_kimg=0.04,
        ada_target=0.1,
        ada_kimg=0.2,
        **TINY,
    )
    for name in ("whole", "cut"):
        prepared(folder, tmp_path / name)
    info = json.loads((tmp_path / "whole" / "data" / "images.json").read_text())
    told = Recorder()
    with listening([told], {}):
        TrainingRun(settings, info, tmp_path / "whole", World()).run()
    for _ in range(9):  # every call does three steps, of which those after the last snapshot are lost
        TrainingRun(settings, info, tmp_path / "cut", World()).run(stop_after=3)
    TrainingRun(settings, info, tmp_path / "cut", World()).run()
    whole, cut = tensors(tmp_path / "whole" / "state.pt"), tensors(tmp_path / "cut" / "state.pt")
    assert whole["p"] > 0
    assert equal(whole, cut)
    digests = {
        hashlib.sha256((tmp_path / name / "generator.safetensors").read_bytes()).hexdigest()
        for name in ("whole", "cut")
    }
    assert len(digests) == 1
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    logs = [[json.loads(line) for line in text.splitlines()] for text in texts]
    seen = [[(line["resolution"], line["kimg"]) for line in log] for log in logs]
    assert seen[0] == seen[1]
    assert [step for step, _ in told.lines] == [2 * n for n in range(1, len(logs[0]) + 1)], (
        "steps grow through all phases"
    )
    assert [line["loss_d"] for _, line in told.lines] == pytest.approx(
        [line["loss_d"] for line in logs[0]], abs=1e-5
    )
    assert load_generator(tmp_path / "cut" / "generator.safetensors").resolution == 16
    assert sorted(p.name for p in (tmp_path / "cut").glob("samples-*.png"))[-1] == "samples-0016-00000.1.png"


def test_it_learns_what_it_is_shown(folder, tmp_path):
    settings = TrainSettings(
        phases=(Phase(resolution=16, kimg=2.4),),
        snapshot_kimg=6,
        ema_kimg=0.15,
        ada_target=None,
        gamma=0.1,
        learning_rate_g=0.006,
        learning_rate_d=0.006,
        **{**TINY, "channel_max": 16},
    )
    info = prepared(folder, tmp_path)
    TrainingRun(settings, info, tmp_path, World()).run()
    model = load_generator(tmp_path / "generator.safetensors")
    images = synthesize(model, map_latents(model, draw_z(1, [("s", i) for i in range(64)], model.z_dim)))
    corner, middle = images[:, :3, :3].mean(axis=(0, 1, 2)), images[:, 7:9, 7:9].mean(axis=(0, 1, 2))
    assert np.abs(corner - (20, 30, 60)).max() < 35
    assert np.abs(middle - (230, 140, 20)).max() < 45


def test_a_finished_run_goes_on_when_it_is_asked_for_more(folder, tmp_path):
    info = prepared(folder, tmp_path / "once")
    prepared(folder, tmp_path / "twice")
    short, long = (
        TrainSettings(phases=(Phase(resolution=16, kimg=kimg),), snapshot_kimg=0.016, **TINY)
        for kimg in (0.032, 0.064)
    )
    TrainingRun(long, info, tmp_path / "once", World()).run()
    TrainingRun(short, info, tmp_path / "twice", World()).run()
    TrainingRun(long, info, tmp_path / "twice", World()).run()
    states = [tensors(tmp_path / name / "state.pt") for name in ("once", "twice")]
    assert states[0]["step"] == 8
    assert equal(*states)


def test_other_settings_in_the_same_folder_are_refused(folder, tmp_path):
    info = prepared(folder, tmp_path)
    settings = TrainSettings(phases=(Phase(resolution=16, kimg=0.016),), snapshot_kimg=0.008, **TINY)
    TrainingRun(settings, info, tmp_path, World()).run()
    with pytest.raises(UsageError, match="other settings"):
        TrainingRun(settings.model_copy(update={"seed": 5}), info, tmp_path, World()).run()
    (tmp_path / "state.pt").write_bytes(b"broken")
    with pytest.raises(DataError, match="is not readable as plain tensors"):
        TrainingRun(settings, info, tmp_path, World()).run()


def test_epochs_see_every_image_and_its_mirror_once():
    seen = [batch_rows(np.arange(10), step, 4, 7, mirror=True) for step in range(5)]
    pairs = [(int(row), bool(flip)) for rows, flips in seen for row, flip in zip(rows, flips, strict=True)]
    assert len(set(pairs)) == 20
    again = batch_rows(np.arange(10), 3, 4, 7, mirror=True)
    assert np.array_equal(again[0], seen[3][0])
    assert not any(
        flip for step in range(5) for flip in batch_rows(np.arange(10), step, 4, 7, mirror=False)[1]
    )


def test_groups_are_seen_equally_often():
    order = balanced_rows(["a"] * 7 + ["b"] * 3 + ["c"])
    counts = np.bincount(order, minlength=11)
    assert counts[:7].tolist() == [1] * 7
    assert sorted(counts[7:10].tolist()) == [2, 2, 3]
    assert counts[10] == 7
    assert np.array_equal(balanced_rows(["x"] * 5), np.arange(5))


def test_cells_of_a_taxonomy_balance_a_run(folder, tmp_path, capsys):
    files = sorted(folder.glob("*.png"))
    races = ["East Asian"] * 10 + ["Southeast Asian"] * 6 + ["Black"] * 4 + ["White"] * 19 + ["Martian"]
    table = {"image": [p.read_bytes() for p in files], "race": races, "gender": ["Female"] * 40}
    pq.write_table(pa.table(table), tmp_path / "faces.parquet")
    words = ["--resolution", "8", "--kimg", "0.016", "--quiet", *(f"--set={k}={v}" for k, v in TINY.items())]
    words = ["train-generator", "--data", str(tmp_path / "faces.parquet"), *words]
    assert main([*words, "--out", str(tmp_path / "out"), "--balance", "fairface4"]) == 0
    info = json.loads((tmp_path / "out" / "data" / "images.json").read_text())
    assert Counter(info["groups"]) == {"Asian/Female": 16, "Black/Female": 4, "White/Female": 19}
    assert info["labels"] is None
    order = open_images(tmp_path / "out" / "data", 8, None, info["groups"]).order
    assert Counter(info["groups"][row] for row in order) == {
        "Asian/Female": 19,
        "Black/Female": 19,
        "White/Female": 19,
    }
    assert "fairface4" in read_metadata(tmp_path / "out" / "generator.safetensors")["balance"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "--keep, --balance, or --weigh" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "no"), "--balance", "monk3"]) == 2
    assert "cannot be mapped to monk3" in capsys.readouterr().err
    assert (
        main([*words, "--out", str(tmp_path / "no"), "--balance", "fairface4", "--label-column", "race"]) == 2
    )
    assert "without classes" in capsys.readouterr().err


def test_folder_zip_and_parquet_give_the_same_pixels(folder, tmp_path):
    files = sorted(folder.glob("*.png"))
    labels = [[p.name, int(p.name[:3]) % 2] for p in files]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in reversed(files):
            archive.write(path, f"00000/{path.name}")
        archive.writestr(
            "dataset.json", json.dumps({"labels": [[f"00000/{name}", label] for name, label in labels]})
        )
    pq.write_table(
        pa.table(
            {
                "file": [p.name for p in files],
                "image": [p.read_bytes() for p in files],
                "kind": [str(label) for _, label in labels],
            }
        ),
        tmp_path / "set.parquet",
    )
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    digests = []
    for name, source, column in (
        ("f", folder, None),
        ("z", tmp_path / "set.zip", None),
        ("p", tmp_path / "set.parquet", "kind"),
    ):
        info = prepare(read_source(source, [], column), tmp_path / name, 16, conditional=True)
        images = open_images(tmp_path / name, 16, info["labels"])
        assert images.classes == ("0", "1")
        assert images.one_hot(images.labels[:3]).tolist() == [[1, 0], [0, 1], [1, 0]]
        digests.append(info["sha256"])
    assert len(set(digests)) == 1
    halved = open_images(tmp_path / "f", 8, None)
    assert np.array_equal(
        halved.pixels[0], np.asarray(PilImage.open(files[0]).resize((8, 8), PilImage.Resampling.BOX))
    )


def test_conditions_choose_rows(tmp_path):
    pq.write_table(
        pa.table(
            {
                "image": [png(image) for image in discs(6)],
                "yaw": [-0.5, -0.1, 0.0, 0.1, 0.2, 0.9],
                "age": ["0-2", "20-29", "20-29", "0-2", "20-29", "20-29"],
            }
        ),
        tmp_path / "a.parquet",
    )
    found = [name for name, _, _ in read_source(tmp_path / "a.parquet", ["abs(yaw)<0.3", "age != 0-2"])]
    assert len(found) == 3
    for condition, words in (
        ("yaw~3", "not a comparison"),
        ("sharp<3", "no column sharp"),
        ("yaw<tall", "cannot be compared"),
    ):
        with pytest.raises(UsageError, match=words):
            list(read_source(tmp_path / "a.parquet", [condition]))
    with pytest.raises(DataError, match="lacks the columns kind"):
        list(read_source(tmp_path / "a.parquet", [], "kind"))


def test_unreadable_and_small_images_are_counted(folder, tmp_path):
    (folder / "000.png").write_bytes(b"no picture")
    (folder / "001.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    assert prepared(folder, tmp_path)["skipped"] == {"too small": 1, "unreadable": 1}
    with pytest.raises(DataError, match="no class"):
        prepare(read_source(folder), tmp_path / "c", 16, conditional=True)
    for path in sorted(folder.glob("*.png"))[10:]:
        path.unlink()
    with pytest.raises(DataError, match="8 images are usable"):
        prepared(folder, tmp_path / "few")


def command(*more):
    fixed = [
        f"--set={name}={value}"
        for name, value in TINY.items()
        if name not in ("batch", "threads", "precision")
    ]
    return [
        "train-generator",
        "--resolution",
        "16",
        "--kimg",
        "0.032",
        "--batch",
        "8",
        "--threads",
        "1",
        "--precision",
        "float32",
        "--set",
        "snapshot_kimg=0.016",
        *fixed,
        *map(str, more),
    ]


def test_the_command_trains_resumes_and_reports(folder, tmp_path, capsys):
    arguments = command("--data", folder, "--out", tmp_path / "g", "--json", "--quiet")
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["images"] == 40
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == first["sha256"]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--set", "gama=1"], 2, "gama"),
        (["--set", "gamma"], 2, "has no ="),
        (["--phases", "8:1,32:1"], 2, "does not end at --resolution 16"),
        (["--phases", "8-1"], 2, "is not of the form"),
        (["--keep", "a<1"], 2, "no columns"),
        (["--start", "nothing"], 3, "nothing"),
        (["--device", "cuda:7"], 3, "device"),
        (["--conditional"], 3, "no class"),
    ],
)
def test_bad_arguments_are_named(folder, tmp_path, capsys, more, code, words):
    assert main(command("--data", folder, "--out", tmp_path / "g", *more)) == code
    assert words in capsys.readouterr().err


def test_missing_and_changed_data(folder, tmp_path, capsys):
    assert main(command("--data", tmp_path / "none", "--out", tmp_path / "g")) == 3
    assert main(command("--data", folder, "--out", tmp_path / "g", "--quiet")) == 0
    (folder / "000.png").unlink()
    assert main(command("--data", folder, "--out", tmp_path / "g", "--quiet")) == 2
    assert "images of other data" in capsys.readouterr().err
    with pytest.raises(MissingError):
        list(read_source(tmp_path / "none"))


def test_two_processes_train_one_generator(folder, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "pipeline",
    ]
    arguments = [*launch, *command("--data", folder, "--out", tmp_path / "g")]
    out = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr[-3000:]
    model = load_generator(tmp_path / "g" / "generator.safetensors")
    assert model.resolution == 16
    assert len((tmp_path / "g" / "metrics.jsonl").read_text().splitlines()) == 2


def test_gradients_are_averaged_over_processes(tmp_path):
    script = tmp_path / "average.py"
    script.write_text(
        "import torch\nfrom nn.processes import join_world\n"
        "with join_world('cpu') as world:\n"
        "    p = torch.nn.Parameter(torch.zeros(3))\n    q = torch.nn.Parameter(torch.zeros(2, 2))\n"
        "    p.grad, q.grad = torch.full([3], float(world.rank)), torch.full([2, 2], 10.0 * world.rank)\n"
        "    world.average_gradients([p, q, torch.nn.Parameter(torch.zeros(1))])\n"
        "    assert p.grad.tolist() == [0.5] * 3 and q.grad.tolist() == [[5.0] * 2] * 2\n"
        "    assert world.mean(world.rank) == 0.5\n"
        "    assert world.share(8) == slice(4 * world.rank, 4 * world.rank + 4)\n"
    )
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        str(script),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    out = subprocess.run(launch, env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr[-3000:]


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(UsageError, match="does not split"):
        World(0, 3).share(8)


@pytest.mark.parametrize(
    "text", [b"[]", b"{", b'{"labels": 5}', b'{"labels": [["a"]]}', b"[" * 50_000, b"\xff\xfe\xfa"]
)
def test_a_dataset_json_of_another_shape_ends_in_words(text):
    from generators.training.sources import _labels_of

    assert _labels_of(b'\xef\xbb\xbf{"labels": [["a\\\\b.png", 1]]}', "dataset.json") == {"a/b.png": 1}
    with pytest.raises(DataError, match=r"dataset\.json"):
        _labels_of(text, "dataset.json")


def test_lines_of_a_run_that_left_no_state_are_not_kept(folder, tmp_path):
    """Killed after a line of figures and before the first state, or its state removed to begin anew: one line
    per snapshot.
    """
    info = prepared(folder, tmp_path)
    settings = TrainSettings(phases=(Phase(resolution=16, kimg=0.032),), snapshot_kimg=0.016, **TINY)
    for _ in range(2):
        (tmp_path / "state.pt").unlink(missing_ok=True)
        (tmp_path / "metrics.jsonl").write_text('{"kimg": 0.016}\n{"kimg": 0.032}\n')
        TrainingRun(settings, info, tmp_path, World()).run()
        assert [
            json.loads(line)["kimg"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
        ] == [0.016, 0.032]


@pytest.mark.parametrize(
    "change", ["pixels", "cut off", "gone", "labels", "half", "unfinished", "an earlier version"]
)
def test_prepared_images_that_were_changed_are_prepared_again(folder, tmp_path, change):
    from pipeline.commands.generators.training import prepared_images

    data = tmp_path / "data"

    def prepare_again(said):
        return prepared_images(folder, data, 16, [], None, False, None, said.append)

    info = prepare_again([])
    open_images(data, 8, None)
    whole = {path.name: path.read_bytes() for path in data.iterdir()}
    said = []
    assert prepare_again(said) == info
    assert said == []
    pixels, half = data / "images-16.npy", data / "images-8.npy"
    if change == "pixels":
        pixels.write_bytes(pixels.read_bytes()[:-1] + b"\x07")
    elif change == "cut off":
        pixels.write_bytes(pixels.read_bytes()[:-100])
    elif change == "gone":
        pixels.unlink()
    elif change == "labels":
        (data / "images.json").write_text(json.dumps({**info, "labels": ["a"] * info["count"]}))
    elif change == "half":
        half.write_bytes(half.read_bytes()[:-1] + b"\x07")
    elif change == "unfinished":
        (data / "made-of.json").unlink()
    else:
        made = json.loads((data / "made-of.json").read_text())
        (data / "made-of.json").write_text(
            json.dumps({k: v for k, v in made.items() if k not in ("pixels", "info")})
        )
    assert prepare_again(said) == info
    assert bool(said) == (change not in ("half", "unfinished"))
    open_images(data, 8, None)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == whole


def test_columns_that_nobody_asked_for_may_be_of_any_kind(folder, tmp_path):
    """As in files of aligned faces: lists of fixed length, which no condition compares."""
    files = sorted(folder.glob("*.png"))[:4]
    table = pa.table(
        {
            "file": [p.name for p in files],
            "image": [p.read_bytes() for p in files],
            "yaw_proxy": [-0.1, 0.5, 0.2, -0.4],
            "landmarks5": pa.array([[0.5] * 10] * 4, pa.list_(pa.float32(), 10)),
            "more": pa.array([{"a": 1}] * 4),
        }
    )
    pq.write_table(table, tmp_path / "faces.parquet")
    kept = [name for name, _, _ in read_source(tmp_path / "faces.parquet", ["abs(yaw_proxy)<0.3"])]
    assert kept == [f"faces.parquet:{files[k].name}" for k in (0, 2)]
    with pytest.raises(UsageError, match="no column yaw_prox; did you mean yaw_proxy"):
        list(read_source(tmp_path / "faces.parquet", ["yaw_prox<1"]))
