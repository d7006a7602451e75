"""Groups chosen by places in tables are those that a plain loop over rows makes."""

from collections import Counter, defaultdict
from types import SimpleNamespace

import pyarrow as pa
import pytest

from manifests.store import write_table
from pipeline.stages.forge.fakes import SCHEMA as FAKES
from pipeline.stages.pair.groups import choose
from pipeline.stages.verify.faces import SCHEMA as FACES

CELLS = ("White/Male", "White/Female")
METHODS, HELD_OUT = ("swap-delaunay", "blend-self"), ("reenact-warp",)


def drawn_faces(count):
    return [
        {
            "image_id": f"f{k:03d}",
            "split": ("train", "test")[k % 3 == 2],
            "cell": CELLS[k % 2],
            "origin": ("photograph", "synthetic")[k % 5 == 4],
            "status": "accepted" if k % 7 else "rejected",
            "identity_id": f"p{k}",
            "licence": f"l{k}",
            "consent": None if k % 4 else "asked",
            "counterfactual_id": f"s{(count - k) // 6}" if k % 13 else None,
        }
        for k in range(count)
    ]


def drawn_fakes(faces):
    """Those of most faces, some with a source that is another face, or none of them."""
    out = []
    for k, face in enumerate(faces):
        for method in METHODS + HELD_OUT if face["split"] == "test" else METHODS:
            out.append(
                {
                    "image_id": f"{face['image_id']}-{method}",
                    "method": method,
                    "family": method.partition("-")[0],
                    "target_id": face["image_id"],
                    "cell": face["cell"],
                    "split": face["split"],
                    "seed": k,
                    "status": "refused" if k % 11 == 3 else "accepted",
                    "source_id": f"f{(k * 5) % (len(faces) + 9):03d}" if method == METHODS[0] else None,
                    "driver_id": f"f{(k * 3) % len(faces):03d}" if method == HELD_OUT[0] else None,
                }
            )
    return out


def by_loop(config, faces, fakes):
    """What stands in each group: ids of the real image, its fakes and the generated one, and consents."""
    faces = [face for face in faces if face["status"] == "accepted"]
    known = {face["image_id"]: face for face in faces}
    made = defaultdict(dict)
    for fake in fakes:
        if fake["status"] == "accepted":
            made[fake["target_id"]][fake["method"]] = fake
    groups, beside = defaultdict(list), defaultdict(list)
    for face in faces:
        if face["origin"] not in config.origins:
            beside[face["split"], face["cell"]].append(face["image_id"])
            continue
        methods = METHODS + HELD_OUT if face["split"] == "test" else METHODS
        own = made[face["image_id"]]
        if all(method in own for method in methods):
            groups[face["split"], face["cell"], face["origin"]].append(
                (face, [own[m] for m in methods], None)
            )
    if config.fakes_are_generated:
        for place, found in groups.items():
            pairs = zip(found, beside[place[:2]], strict=False)
            groups[place] = [(face, own, other) for (face, own, _), other in pairs]
    if config.sample.counterfactual:
        cells = {place[1] for place in groups}
        members = Counter(one[0]["counterfactual_id"] for found in groups.values() for one in found)
        for place, found in groups.items():
            whole = [one for one in found if members[one[0]["counterfactual_id"]] == len(cells)]
            groups[place] = sorted(whole, key=lambda one: str(one[0]["counterfactual_id"]))
    out = []
    for split in ("train", "test"):
        places = [(split, cell, origin) for cell in CELLS for origin in config.origins]
        least = min([10, *(len(groups[place]) for place in places if groups[place])])
        for place in places:
            for face, own, other in groups[place][:least]:
                givers = [[known.get(fake["source_id"]), known.get(fake["driver_id"])] for fake in own]
                consents = [tuple(giver and giver["consent"] for giver in some) for some in givers]
                out.append((face["image_id"], [fake["image_id"] for fake in own], consents, other))
    return out


@pytest.mark.parametrize("count", [40, 400])
@pytest.mark.parametrize("way", ["plain", "two origins", "counterfactual", "generated"])
def test_groups_are_those_of_a_plain_loop(tmp_path, way, count):
    faces = drawn_faces(count)
    fakes = drawn_fakes(faces)
    for name, rows, schema in (("verify/faces", faces, FACES), ("forge/fakes", fakes, FAKES)):
        (tmp_path / name).parent.mkdir()
        write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / f"{name}.parquet")
    config = SimpleNamespace(
        forge=SimpleNamespace(methods=METHODS, held_out=HELD_OUT),
        origins=("photograph", "synthetic") if way == "two origins" else ("photograph",),
        fakes_are_generated=way == "generated",
        sample=SimpleNamespace(counterfactual=way == "counterfactual"),
        pair=SimpleNamespace(allow_short=True),
        dataset=SimpleNamespace(cells=CELLS, splits={"train": 0.5, "test": 0.5}, wanted=lambda cell: 20),
    )
    found, _ = choose(SimpleNamespace(folder=lambda name: tmp_path / name, config=config))
    groups = [group for part in found.shards(7) for group in part]
    assert [
        (
            group.real.image_id,
            [made.fake.image_id for made in group.fakes],
            [made.consents for made in group.fakes],
            group.generated and group.generated.image_id,
        )
        for group in groups
    ] == by_loop(config, faces, fakes)
    assert groups
    assert all(len(part) == 7 for part in list(found.shards(7))[:-1])
