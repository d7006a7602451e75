"""A folder and a name that came from outside are joined by `manifests.containment.inside`, and nowhere else.

The walk reads every module: where the left side of a `/` is a path, the right side must be a text of the
program's own (a literal, a constant, an f-string of such and of formatted numbers). Any other join is
`inside`, or stands in `OWN` with the reason why its name is the program's own.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline")
PLACES = {
    "parent",
    "root",
    "folder",
    "sample_folder",
    "forge_folder",
    "out",
    "source",
    "target",
    "building",
    "home",
    "where",
    "base",
    "place",
    "here",
    "work",
    "parts",
}
"""Names that hold paths, in any function; others are found by their annotation or by what is assigned to
them.
"""
MAKES = {
    "Path",
    "folder",
    "home",
    "expanduser",
    "resolve",
    "user_folder",
    "with_name",
    "with_suffix",
    "inside",
    "absolute",
}
"""Calls that give paths."""
LISTED = "a name that the folder itself lists"
MADE = "a name that this program makes: a hash, a number, a registered name"
USERS = "a flag or key of the user's own"
OWN = {
    "pipeline.commands.site.pages": {
        "posixpath.join(posixpath.dirname(place), path)": "a link between documents, nothing that is opened",
    },
    "manifests.atomic": {"Path(where, name)": LISTED},
    "manifests.containment": {"folder / name": "the one join", "f'{folder}/{_shown(name)}'": "a message"},
    "manifests.picture_shards": {"f'{shard}/{name}'": "a message"},
    "manifests.release.remote": {
        "f'{root}/{name}'": "a place in an object store, below the one that the user names",
        "folder / name": LISTED,
    },
    "manifests.listing": {"where / entry.name": LISTED, "folder / picture": LISTED, "folder / name": LISTED},
    "manifests.adapters.avdeepfake1m": {"source / split": "one of LISTS", "source / name": "one of LISTS"},
    "manifests.adapters.avlips": {
        "source / folder": "one of FOLDERS",
        "source / name": "one of FOLDERS",
        "f'{folder}/{path.name}'": "a key, no path",
        "source / 'wav' / folder / f'{path.stem}.wav'": LISTED,
        "source / 'wav' / folder": "one of FOLDERS",
    },
    "manifests.adapters.fakeavceleb": {"source / name": "one of KINDS", "source / kind": "one of KINDS"},
    "manifests.adapters.lavdf": {"source / folder": "one of FOLDERS"},
    "manifests.adapters.clip_import": {"out / path": MADE, "out / heard": MADE},
    "manifests.adapters.celebdf": {
        "source / folder": "one of FOLDERS",
        "source / name": "a literal of the check",
        "f'{folder}/{path.name}.mp4'": LISTED,
        "f'{folder}/{path.name}'": LISTED,
    },
    "manifests.adapters.deepfakebench": {"f'{place}/{path}'": "a key, no path"},
    "manifests.adapters.dfd": {
        "source / 'original_sequences' / 'actors' / self.compression": USERS,
        "source / 'manipulated_sequences' / FAKE / self.compression": USERS,
        "place / 'videos' / f'{path.name}.mp4'": LISTED,
        "place / 'frames' / name": LISTED,
        "place / kind": "a literal",
    },
    "manifests.adapters.dfdc": {
        "frames / path.stem": "of a path made by inside",
        "path.parent / 'frames' / path.stem": "of a path made by inside",
        "source / name": "a literal of the check",
    },
    "manifests.adapters.fairface": {
        "source / f'fairface_label_{split}.csv'": USERS,
        "source / name": USERS,
        "source / split": USERS,
    },
    "manifests.adapters.ffpp": {
        "source / kind / method / self.compression": USERS,
        "source / kind / method": "a registered method",
        "source / kind": "a literal",
        "source / f'{split}.json'": "one of SPLITS",
    },
    "manifests.adapters.folder": {"source / self.params.csv": USERS, "source / kind": "a literal"},
    "manifests.adapters.genimage": {
        "source / name / split / kind": LISTED,
        "source / name / split": LISTED,
        "source / name": LISTED,
    },
    "manifests.adapters.import_parts": {
        "self.folder / f'{name}.parquet'": MADE,
        "self.folder / f'{name}.json'": MADE,
    },
    "manifests.adapters.importing": {"out / path": MADE},
    "manifests.adapters.purdue": {"source / f'{split}.csv'": "one of SPLITS"},
    "manifests.adapters.unlisted": {"folder / one.name": LISTED},
    "manifests.adapters.videos": {"videos / stem": "a key, no path"},
    "manifests.adapters.webdataset": {"pure.parent / name": "a key, no path"},
    "manifests.release.build": {
        "out.with_name(f'.{out.name}.building')": USERS,
        "out.with_name(f'.{out.name}.old')": USERS,
    },
    "manifests.release.check": {"folder / n": "a literal of NEEDED"},
    "manifests.release.checksums": {"folder / name": LISTED},
    "manifests.exporters.deepfakebench": {
        "out / f'{slug(self.params.name)}.json'": "a slug has no slash",
        "out / f'{dataset}.json'": "a slug has no slash",
    },
    "manifests.release.exporting": {"f'{place}/{name}'": "joined by inside"},
    "manifests.exporters.imagefolder": {"out / split": "one of SPLITS, or all"},
    "manifests.exporters.purdue": {"out / f'{split}.csv'": "one of SPLITS, or the user's own"},
    "manifests.exporters.webdataset": {
        "out / f'{split}-{start // self.params.shard:06d}.tar'": "one of SPLITS, or all"
    },
    "generators.training.images": {
        "folder / f'images-{size}.npy'": MADE,
        "folder / f'images-{largest}.npy'": "checked to be a whole number",
    },
    "nn.onnx_files": {"folder / name": "looked at before it is used: it must lie in the model's folder"},
    "generators.training.warmup": {"folder / f'fakes-{world.rank}.npy'": MADE},
    "attribute_models.detection.insightface_pack": {"Path.home() / '.insightface' / 'models' / pack": USERS},
    "attribute_models.networks.mtcnn": {"folder / f'{name}net.pt'": MADE},
    "attribute_models.detection.mtcnn": {"folder / f'{name}net.pt'": MADE},
    "nn.packaged": {"Path(folder) / self.file": "of an installed package"},
    "detector.training.files": {"out / n": "a literal"},
    "pipeline.commands.audio_visual.prediction": {
        "plots / f'{number:05d}-{slug(clip.path.stem)}.png'": "a slug has no slash"
    },
    "pipeline.commands.generators.comparison": {
        "folder / f'{_key(settings, one.sha256, data, wanted)}.json'": "hexadecimal digits"
    },
    "pipeline.commands.audio_visual.training": {"out / name": "one of STATES"},
    "pipeline.commands.audio_visual.embedding": {
        "folder / f'{name}.safetensors'": "checked to be a file's name"
    },
    "pipeline.stages.sample.candidates": {"task.folder / path": MADE},
    "pipeline.stages.sample.photographs": {"task.folder / path": MADE},
    "pipeline.stages.cells.cache": {
        "root.expanduser() / kind / digest_value({'stage': key, 'fairforge': version('fairforge')})": (MADE),
        "root.expanduser() / kind": MADE,
        "folder / path.name": MADE,
        "folder / name": MADE,
    },
    "pipeline.cli.evaluation_commands": {"Path(str(folder)) / f'{name}.{suffix}'": USERS},
    "pipeline.cli.performing": {
        "f'read {shared.out}/{last}'": "a message",
        "run.root.absolute() / FOLDER / name": "a literal",
    },
    "pipeline.stages.train.manifest_training": {"out / name": "one of FILES"},
    "pipeline.commands.look.fiftyone_script": {
        "root / one['path']": "gone through inside when the file was written",
        "root / one['mask']": "gone through inside when the file was written",
    },
    "pipeline.commands.look.opening": {"place.parent / name": "a literal"},
    "pipeline.commands.look.writing": {
        "package_files('pipeline.commands.look').joinpath('fiftyone_script.py')": "of this package"
    },
    "pipeline.engine.config_file": {"file.parent / named": USERS},
    "pipeline.engine.ids": {"f'{folder}/{image_id[:2]}/{image_id}{suffix}'": MADE},
    "pipeline.commands.evaluate.manifests": {
        "out / f'table.{suffix}'": "one of FORMATS",
        "request.out / name": "a literal",
    },
    "pipeline.stages.sample.photograph_sources": {"folder / name": "one of ATTRIBUTES"},
    "pipeline.commands.prediction": {
        "folder / f'{name}.png'": LISTED,
        "weight.path.with_name('README.md')": "a literal",
    },
    "pipeline.engine.progress_file": {
        "folder / f'.progress-{socket.gethostname()}-{os.getpid()}.json'": MADE
    },
    "pipeline.report.page": {"package_files('pipeline.report').joinpath('style.css')": "of this package"},
    "pipeline.report.run_files": {"run.root / name": "a literal"},
    "pipeline.engine.runner": {"f'{source.folder(run)}/{gone[0]}'": "a message"},
    "pipeline.engine.run_directory": {"self.root / folder_name(stage)": "a stage's name"},
    "pipeline.stages.evaluate.score_files": {
        "path / 'evaluate' / name": "a literal",
        "path / name": "a literal",
    },
    "pipeline.stages.evaluate.image_scores": {
        "f\"{folder}/{printable(row['path'])}\"": "a message",
        "out / f'{key}-{number:05d}.parquet'": MADE,
    },
    "pipeline.engine.attempts": {"task.folder / kind": "a literal", "folder / kind": "a literal"},
    "pipeline.engine.executors.ray_pool": {"make_folder(root).absolute() / f'.shared-{token[:8]}'": MADE},
    "pipeline.engine.executors.slurm_chain": {"root / FOLDER / stage": "a message"},
    "pipeline.engine.executors.slurm_pool": {
        "(self.root or Path()).absolute() / FOLDER / name": "a stage's name, letters and digits alone"
    },
    "pipeline.engine.shards": {
        "task.folder / fact.name": "checked by read_marker; whether it is there is all that is asked"
    },
    "pipeline.stages.ablation.stage": {
        "stage_folder / 'work' / f'{self.variant}-{self.seed}'": (
            "names of variants are checked by the configuration"
        ),
        "work / name": "a literal",
        "work / f'{name}-data'": "a literal",
    },
    "pipeline.stages.pair.encoding": {"self.folder / path": MADE, "self.folder / self.shard": MADE},
    "pipeline.stages.train.stage": {"self.folder(run) / name": "a literal"},
    "pipeline.commands.weights.records": {
        "user_folder() / f'{name}.safetensors'": "checked to be a file's name"
    },
    "pipeline.commands.weights.embedding": {"folder / f'{name}.safetensors'": "checked to be a file's name"},
}


def is_path(node: ast.expr, known: set[str]) -> bool:
    """Whether an expression is a path, as far as the text of the module says."""
    if isinstance(node, ast.Name):
        return node.id in known
    if isinstance(node, ast.Attribute):
        return node.attr in known
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) in MAKES
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value in known
    if isinstance(node, ast.BoolOp):
        return any(is_path(value, known) for value in node.values)
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and is_path(node.left, known)


def paths_of(tree: ast.Module) -> set[str]:
    """Names that are annotated as paths, or assigned from one, anywhere in the module."""
    known = set(PLACES)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            kinds = ast.unparse(node.annotation).replace('"', "").split(" | ")
            if "Path" in kinds:
                known.add(
                    node.arg
                    if isinstance(node, ast.arg)
                    else getattr(node.target, "id", getattr(node.target, "attr", ""))
                )
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and is_path(node.value, known):
            known |= {
                name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)
            }
    return known


def is_own(node: ast.expr) -> bool:
    """Whether a name is the program's own: a literal, a constant, an f-string of these and of formatted
    numbers.
    """
    if isinstance(node, ast.Name | ast.Attribute):
        return (node.id if isinstance(node, ast.Name) else node.attr).isupper()
    if isinstance(node, ast.JoinedStr):
        return all(
            isinstance(part, ast.Constant) or is_own(part.value) or part.format_spec is not None
            for part in node.values
        )
    return isinstance(node, ast.Constant)


def joined_text(node: ast.JoinedStr, known: set[str]) -> bool:
    """Whether an f-string puts a name that is not the program's own behind a path and a slash."""
    for left, slash, right in zip(node.values, node.values[1:], node.values[2:], strict=False):
        if (
            isinstance(left, ast.FormattedValue)
            and isinstance(right, ast.FormattedValue)
            and is_path(left.value, known)
            and isinstance(slash, ast.Constant)
            and slash.value == "/"
            and not is_own(right.value)
        ):
            return True
    return False


def is_join(node: ast.AST, known: set[str]) -> bool:
    """Whether a node joins a path and a name that is not the program's own."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div) and is_path(node.left, known) and not is_own(node.right)
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        several = name == "Path" and len(node.args) > 1
        return (
            several
            or name in ("joinpath", "with_name")
            or (name == "join" and "path" in ast.unparse(node.func))
        )
    return isinstance(node, ast.JoinedStr) and joined_text(node, known)


def joins(text: str) -> set[str]:
    """Every such join of a module, as its text."""
    tree = ast.parse(text)
    known = paths_of(tree)
    return {ast.unparse(node) for node in ast.walk(tree) if is_join(node, known)}


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_joined_by_the_one_function(package):
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if others := joins(path.read_text()) - OWN.get(module, {}).keys():
            found[module] = others
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "folder / row['path']",
        "marker.parent / name",
        "Path(folder, name)",
        "os.path.join(folder, name)",
        "folder.joinpath(name)",
        "read(f'{folder}/{row}')",
        "self.folder / name",
        "(root or table.parent) / name",
        "payload['sample_folder'] / name",
        "folder / f'{name}.png'",
        "manifest.with_name(name)",
    ],
)
def test_the_walk_sees_a_join(line):
    assert joins(line)


@pytest.mark.parametrize(
    "line",
    [
        "folder / 'a.json'",
        "folder / NAME",
        "folder / f'part-{k:05d}.parquet'",
        "a / b",
        "inside(folder, name)",
    ],
)
def test_the_walk_lets_the_programs_own_names_pass(line):
    assert not joins(line)
