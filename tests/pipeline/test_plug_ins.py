"""A small package from outside, really installed in a folder, adds one thing to every registry; each is
listed and works.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manifests.images import encode
from manifests.registry import Registry
from pipeline.__main__ import main
from pipeline.commands.catalogue import list_kind
from pipeline.engine.registries import KINDS, REGISTRIES, registry_of

PACKAGES = ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline")
MEMBERS = {
    "forgeries": '''
from generators.forgeries.base import Forger, Layers, forgery

@forgery("outside", family="outside", uses="none", params=Params, paper="")
class Outside(Forger):
    """Grey in the middle."""

    def layers(self, target, other, rng):
        alpha = np.zeros(target.image.shape[:2], np.float32)
        alpha[16:48, 16:48] = 1
        return Layers(np.full(target.image.shape, 128, np.float32), alpha, {})
''',
    "clip-forgeries": '''
from generators.talking.base import ClipForger, Parts, clip_forgery

@clip_forgery("outside", family="outside")
class Outside(ClipForger):
    """The clip without its sound."""

    def parts(self, scene, other, rng):
        return Parts(scene.pictures, np.zeros(4, np.float32), {})
''',
    "families": '''
from manifests.families import FAMILIES, Family

@FAMILIES.register("outside")
class Outside(Family):
    """A family from outside, whose fakes keep the target's identity."""

    identity = "kept"
''',
    "generator-formats": '''
from generators.checkpoints.formats import GENERATOR_FORMATS, GeneratorFormat, StoredGenerator

@GENERATOR_FORMATS.register("outside", family="stylegan2")
class Outside(GeneratorFormat):
    """A safetensors file under another name."""

    endings = (".outside",)

    def read(self, path):
        from generators.checkpoints.files import load_checkpoint

        config, state, metadata = load_checkpoint(path)
        return StoredGenerator(config, state, "of the outside")
''',
    "architectures": '''
from detector.models.architectures import ARCHITECTURES, Architecture, DetectorNetwork

@ARCHITECTURES.register("outside", family="none")
class Outside(Architecture):
    """One weight on the mean of the picture."""

    loss = "outside"
    head_modes = ("shared",)
    exports = ()

    def build(self, config):
        import torch

        class Network(DetectorNetwork):
            def __init__(self, config):
                super().__init__(config)
                self.weight, self.heads = torch.nn.Linear(1, 1), torch.nn.ModuleDict()

            encoders = seen = property(lambda self: ())

            def forward(self, images):
                mean = images.float().mean((1, 2, 3))[:, None]
                return {"fake": self.weight(mean)[:, 0], "features": mean}

        return Network(config)
''',
    "strategies": '''
from generators.strategies import STRATEGIES

@STRATEGIES.register("outside")
class Outside:
    """Always the mean."""

    reads_cell = False
    counterfactual = False

    def __init__(self, params):
        self.params = params

    def draw(self, drawing, cell, seeds):
        return np.zeros((len(seeds), 4), np.float32)
''',
    "attribute-models": '''
from attribute_models.registry import ATTRIBUTE_MODELS
from manifests.weights import Weight

@ATTRIBUTE_MODELS.register("outside", family="attributes", params=DeviceParams)
def outside(params):
    """Everybody is old."""
    from attribute_models.attributes.classifier import FaceClassifier

    class Outside(FaceClassifier):
        classes = {"age": ("young", "old")}
        weight = Weight("outside", Path(__file__), "ab" * 32, "attributes")

        def predict(self, images):
            return {"age": np.tile(np.float32([0, 1]), (len(images), 1))}

    return Outside()
''',
    "backbones": '''
from detector.models.backbones import BACKBONES, TrunkParams

@BACKBONES.register("outside", family="none", params=TrunkParams)
def outside(params):
    """The mean of each channel."""
    import torch

    trunk = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    trunk.num_features = params.in_channels
    return trunk
''',
    "stages": '''
from manifests.atomic import write_text
from pipeline.engine.stage import Outcome, Stage
from pipeline.engine.stages import STAGES

@STAGES.register("outside")
class Outside(Stage):
    """Counts the images of the dataset."""

    name = "outside"
    after = "pair"

    def config(self, run):
        return {"cells": run.config.dataset.cells}

    def finish(self, context, tasks):
        path = self.folder(context.run) / "cells.txt"
        write_text(path, "\\n".join(context.config.dataset.cells))
        return Outcome([path], {"cells": len(context.config.dataset.cells)})
''',
    "losses": '''
from detector.losses.base import LOSSES, Loss, LossParams, Needs

@LOSSES.register("outside", family="none", params=LossParams)
class Outside(Loss):
    """The mean logit."""

    needs = Needs(network="outside")
    trains = ("fake",)

    def __init__(self, params):
        self.params = params

    def __call__(self, outputs, targets, smoothing):
        return outputs["fake"].mean()
''',
    "audits": '''
from manifests.audit.base import AUDITS, AuditResult

@AUDITS.register("outside", family="none")
class Outside:
    """Passes."""

    def __init__(self, params):
        self.params = params

    def run(self, table, folder, seed):
        return AuditResult(name="outside", passed=True, figures={"images": table.num_rows})
''',
    "adapters": '''
from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.folder import FolderParams

@ADAPTERS.register("outside", family="image", params=FolderParams, taxonomy="fairface4")
class Outside:
    """Every PNG of a folder is real."""

    def __init__(self, params):
        self.params = params

    def check(self, source):
        return []

    def read(self, source):
        for path in sorted(source.glob("*.png")):
            yield SourceImage(key=path.name, path=path)
''',
    "exporters": '''
from manifests.exporters import EXPORTERS

@EXPORTERS.register("outside", family="none")
class Outside:
    """A list of the images."""

    def __init__(self, params):
        self.params = params

    def export(self, manifest, out):
        out.mkdir(exist_ok=True)
        (out / "list.txt").write_text("images")
        return out
''',
    "trackers": '''
from nn.tracking import TRACKERS
from nn.tracking.base import TrackerParams

@TRACKERS.register("outside", family="none", params=TrackerParams)
class Outside:
    """Lines of a file."""

    def __init__(self, params):
        self.path = params.folder / "lines.txt"

    def start(self, settings):
        self.path.parent.mkdir()

    def log(self, step, figures):
        self.path.write_text(f"{step} {figures}")

    def end(self, *, finished):
        assert finished
''',
    "feature-networks": '''
import torch
from generators.training.feature_networks import FeatureNetwork
from pipeline.faces.feature_networks import FEATURE_NETWORKS

@FEATURE_NETWORKS.register("outside", family="none", params=Params)
def outside(params):
    """One map: the image's own pixels, halved."""
    return FeatureNetwork("outside", torch.nn.Identity(), lambda x: [x[:, :, ::2, ::2]], "0" * 64)
''',
    "executors": '''
from pipeline.engine.executors.registry import EXECUTORS, Pool, PoolParams

@EXECUTORS.register("outside", family="none", params=PoolParams)
class Outside(Pool):
    """The last task first."""

    workers = 1

    def map(self, call, tasks, lost=None):
        yield from map(call, reversed(tasks))
''',
    "feature-spaces": '''
from pipeline.faces.feature_spaces import FEATURE_SPACES, SpaceParams

@FEATURE_SPACES.register("outside", family="none", params=SpaceParams)
class Outside:
    """The mean grey."""

    dim = 1

    def __init__(self, params):
        self.params = params

    def features(self, images, points):
        return images.reshape(len(images), -1).mean(1, keepdims=True).astype(np.float32)
''',
}
IMPORTS = """
from pathlib import Path

import numpy as np

from attribute_models.registry import DeviceParams
from manifests.registry import Params
"""
USES = """
import contextlib, io, json, sys
from pathlib import Path

import numpy as np
import torch

from pipeline.__main__ import main
from pipeline.engine.registries import REGISTRIES

folder, listed = Path(sys.argv[1]), {}
for kind in REGISTRIES:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["list", kind, "--json"]) == 0
    listed[kind] = [entry["name"] for entry in json.loads(said.getvalue())]

from attribute_models import load_attribute_model
from detector.models.backbones import TrunkParams, build_backbone
from detector.losses import build_loss
from generators.forgeries import get
from generators.strategies import STRATEGIES
from manifests.audit import audit_manifest
from nn.tracking import log_figures, tracked_by
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.faces.feature_networks import FEATURE_NETWORKS
from pipeline.faces.feature_spaces import FEATURE_SPACES
from tests.generators_forgeries.drawn_faces import draw_face

images = np.full((2, 64, 64, 3), 7, np.uint8)
assert get("outside")(None).forge(draw_face(64, 1), None, np.random.default_rng(0)).image[32, 32, 0] == 128
assert Config().with_values(sample={"strategy": "outside"}).sample.strategy == "outside"
assert STRATEGIES.create("outside").draw(None, "", [1, 2]).shape == (2, 4)
assert load_attribute_model("outside").predict(images)["age"].tolist() == [[0, 1], [0, 1]]
assert models.weight_of("outside", "attributes").sha256 == "ab" * 32
assert build_backbone("outside", TrunkParams())(torch.ones(2, 3, 8, 8)).shape == (2, 3)
loss = build_loss("outside", {})
from detector.inference.checkpoints import load_network, save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from detector.training.preparation import architecture_of

config = NetworkConfig(backbone="outside", input_size=8, architecture=architecture_of(loss))
assert config.architecture == "outside"
network = build_network(config, 0)
save_checkpoint(folder / "model.safetensors", config, network.state_dict(), {})
assert type(load_network(folder / "model.safetensors")[0]).__name__ == "Network"

from generators import load_generator
from generators.checkpoints.files import save_generator
from manifests.families import family_names, family_of
from pipeline.stages.forge.gates import Figures, refuse
from tests.generators.small_generators import small_generator

save_generator(folder / "g.outside", small_generator())
assert load_generator(folder / "g.outside").licence == "of the outside"
assert family_names()[-2:] == ("outside", "unknown")
assert family_of("outside").compared

from types import SimpleNamespace

from generators.talking.base import CLIP_FORGERIES

face = SimpleNamespace(image_id="a", cell="Black/Female")
scene = SimpleNamespace(pictures=[images[0]], rng=lambda *words: np.random.default_rng(0), face=face, seed=1)
assert CLIP_FORGERIES.create("outside").forge(scene, None).sound.tolist() == [0, 0, 0, 0]
assert FEATURE_NETWORKS.create("outside").shapes(8) == [(3, 4)]
assert FEATURE_SPACES.create("outside").features(images, None).tolist() == [[7.0], [7.0]]
with tracked_by([f"outside:{folder / 'tracked'}"], {}):
    log_figures(3, {"loss": 0.5})
assert (folder / "tracked" / "lines.txt").read_text() == "3 {'loss': 0.5}"
assert main(["import", "outside", str(folder / "in"), "--out", str(folder / "out")]) == 0
audit = audit_manifest(folder / "out", ["outside"])["audits"]["outside"]
assert audit["figures"] == {"images": 1}
assert main(["export", "outside", str(folder / "out"), "--out", str(folder / "exported")]) == 0
assert (folder / "exported" / "list.txt").is_file()
from pipeline.engine.stages import all_stages
names = [stage.name for stage in all_stages()]
assert names.index("pair") + 1 == names.index("outside") == names.index("audit") - 1
assert main(["run", "--out", str(folder / "run"), "--from", "outside", "--to", "outside", "--quiet"]) == 0
assert len((folder / "run" / "outside" / "cells.txt").read_text().splitlines()) == 8
from pipeline.engine.executors import Executor
with Executor("outside", 1, Config().with_values(execute={"executor": "outside"}).execute) as executor:
    assert list(executor.map(str, [1, 2])) == ["2", "1"]
print("\\n" + json.dumps(listed))
"""


def install(site: Path) -> None:
    """Put the package `outside` and its metadata where Python looks for packages, as an installer does."""
    (site / "outside").mkdir(parents=True)
    (site / "outside" / "__init__.py").touch()
    points = []
    for kind, source in MEMBERS.items():
        module = kind.replace("-", "_")
        (site / "outside" / f"{module}.py").write_text(IMPORTS + source)
        points += [f"[fairforge.{module}]", f"mine = outside.{module}", ""]
    info = site / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points))


def test_an_installed_package_adds_to_every_registry_and_all_of_it_works(tmp_path: Path):
    install(tmp_path / "site")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encode(np.full((64, 64, 3), 9, np.uint8), "png"))
    path = os.pathsep.join([str(tmp_path / "site"), str(Path.cwd())])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USES, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    listed = json.loads(done.stdout.splitlines()[-1])
    assert {kind for kind, names in listed.items() if "outside" in names} == set(REGISTRIES)


def test_the_package_of_this_test_has_a_member_for_every_registry():
    assert set(MEMBERS) == set(REGISTRIES)


def found_registries() -> list[Registry]:
    """Every registry that a module of the project makes."""
    found = []
    for file in (path for package in PACKAGES for path in Path(package).rglob("*.py")):
        if re.search(r"\bRegistry\b.*\(", file.read_text()) and file != Path("manifests/registry.py"):
            module = importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
            found += [value for value in vars(module).values() if isinstance(value, Registry)]
    return found


def test_every_registry_of_the_project_is_listed():
    found = {registry.kind: registry for registry in found_registries()}
    assert len(found) == len({id(registry) for registry in found_registries()})
    assert set(found) == set(REGISTRIES) <= set(KINDS)
    assert all(registry_of(kind) is found[kind] for kind in REGISTRIES)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_groups_follow_one_rule_and_packaging_s(kind: str):
    registry = registry_of(kind)
    assert registry.group == f"fairforge.{kind.replace('-', '_')}"
    assert re.fullmatch(r"\w+(\.\w+)*", registry.group), (
        "an entry-point group has letters, digits, _ and dots alone"
    )
    assert registry.kind.endswith("s")
    assert registry.noun != registry.kind


def test_the_guide_has_every_kind_with_its_group():
    rows = [
        [cell.strip().split("`")[1] for cell in line.strip("|").split("|")]
        for line in Path("docs/guide.md").read_text().splitlines()
        if "| `fairforge." in line
    ]
    assert {kind: (package, group) for kind, package, group in rows} == {
        kind: (registry_of(kind).package.replace(".", "/"), registry_of(kind).group) for kind in REGISTRIES
    }


def test_help_names_every_kind_and_each_has_something(capsys: pytest.CaptureFixture[str]):
    assert main(["list", "--help"]) == 0
    said = "".join(capsys.readouterr().out.split())
    assert [kind for kind in KINDS if kind not in said] == []
    assert [kind for kind in KINDS if not list_kind(kind)[0]] == []
