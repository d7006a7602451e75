"""The second half of the table: commands without a run."""

from pipeline.faces.sources import CLEAN
from tests.pipeline.option_table import JSON, Change, Refusal, Use, flag, given, refused, shared


def out(function: str, name: str = "out") -> dict:
    return given("--out", "o2", f"{function}.{name}")


def common(function: str, **where: str) -> dict:
    """`--device`, `--seed`, `--quiet` and the like at their usual places."""
    usual = {"device": "device", "seed": "seed", "quiet": "quiet", **where}
    return {
        **JSON,
        **given("--device", "cuda:1", f"{function}.{usual['device']}"),
        **given("--seed", "9", f"{function}.{usual['seed']}", 9),
        **flag("--quiet", f"{function}.{usual['quiet']}"),
    }


def cleaned(function: str) -> dict:
    """`--clean`, whose limits arrive at `filters`."""
    return {"--clean": Change("--clean", {f"{function}.filters.{name}": None for name in CLEAN})}


def without(entries: dict, *options: str) -> dict:
    return {option: entry for option, entry in entries.items() if option not in options}


PLAN = shared("plan.run.config")
LOOKS = [
    Use(
        "plan",
        ("pipeline.engine.runner.plan",),
        {**PLAN, **given("--out", "o2", "plan.run.root")},
        returns=[],
    ),
    Use(
        "status",
        ("pipeline.commands.run_status.status_of", "pipeline.commands.run_status.watch_status"),
        {
            **JSON,
            **out("status_of"),
            "--watch": Change(
                "--watch",
                {
                    "watch_status was called": True,
                    "watch_status.out": "runs/demo",
                    "watch_status.interval": 5.0,
                    "watch_status.show": None,
                    "status_of was called": None,
                    "status_of.out": None,
                    "emit was called": None,
                    "emit.value": None,
                    "emit.text": None,
                    "emit.as_json": None,
                },
            ),
            "--interval": Change("--interval 2", {"watch_status.interval": 2.0}, "--watch"),
        },
        returns=([], ""),
    ),
    Use("inspect", ("pipeline.commands.inspection.inspect_image",), {**JSON, **out("inspect_image")}, "id"),
    Use("list", ("pipeline.commands.catalogue.list_kind",), {**JSON}, "losses"),
    Use(
        "doctor",
        ("pipeline.commands.doctor.examine",),
        {**JSON, **out("examine")},
        returns=({}, "text", True),
    ),
    Use(
        "docs",
        ("pipeline.commands.site.building.docs",),
        {
            **out("docs"),
            "--open": Change("--no-open", {"docs.show": False}),
            **flag("--fresh", "docs.fresh"),
        },
        returns="site",
    ),
    Use(
        "contact-sheet",
        ("pipeline.commands.inspection.write_contact_sheet",),
        {
            **out("write_contact_sheet"),
            **given("--columns", "3", "write_contact_sheet.columns", 3),
            **given("--seed", "9", "write_contact_sheet.seed", 9),
        },
        "m --out o",
        returns="o",
    ),
    Use(
        "look",
        ("pipeline.commands.look.open_look",),
        {
            **JSON,
            **out("open_look"),
            **given("--scores", "s.csv", "open_look.scores"),
            **given("--embeddings", "e.parquet", "open_look.embeddings"),
            **given("--with", "fiftyone", "open_look.explorer"),
            **given("--port", "7000", "open_look.port", 7000),
            "--browser": Change("--no-browser", {"open_look.browser": False}),
        },
        "m",
        returns=({}, "text", None),
    ),
    Use(
        "gather",
        ("pipeline.commands.datasets.gather_manifests",),
        {
            **JSON,
            **out("gather_manifests"),
            **given("--per-cell", "3", "gather_manifests.per_cell", 3),
            **given("--share", "train=1", "gather_manifests.shares", ["train=1"]),
            **given("--seed", "9", "gather_manifests.seed", 9),
            **given("--split", "test", "gather_manifests.split", "test"),
            **given("--without", "other", "gather_manifests.without", ["other"]),
        },
        "m1 m2 --out o",
    ),
    Use(
        "config show",
        (),
        {
            **JSON,
            "--config": Change(
                "--config {config}",
                {"emit.value.run.name": "other", "emit.value.run.seed": 77, "emit.text": None},
            ),
            "--set": Change("--set run.seed=9", {"emit.value.run.seed": 9, "emit.text": None}),
        },
    ),
    Use("config reference", (), {**JSON}),
    Use(
        "config validate",
        ("pipeline.engine.config_file.load_config",),
        {
            **given("--set", "a.b=1", "load_config.sets", ["a.b=1"]),
        },
        "c",
    ),
    Use("weights list", ("pipeline.commands.weights.records.list_weights",), {**JSON}),
    Use(
        "weights verify",
        ("pipeline.commands.weights.records.verify_weights",),
        {**JSON},
        returns=({}, "text", True),
    ),
    Use(
        "weights embed",
        ("pipeline.commands.weights.embedding.embed_detector",),
        {
            **JSON,
            **out("embed_detector"),
            **given("--name", "n2", "embed_detector.name"),
            **given("--licence", "L2", "embed_detector.licence"),
            **given("--data", "d2", "embed_detector.data"),
            **given("--validation", "v2", "embed_detector.validation"),
            **given("--threshold", "val-eer", "embed_detector.threshold"),
            **given("--recipe", "r", "embed_detector.recipe"),
            **given("--device", "cuda:1", "embed_detector.device"),
        },
        "d --name n --licence L --data d --validation v",
    ),
    Use(
        "weights import",
        ("pipeline.commands.weights.records.import_weight",),
        {
            **JSON,
            **given("--licence", "L2", "import_weight.licence"),
            **given("--name", "n", "import_weight.name"),
            **given("--kind", "backbone", "import_weight.kind"),
        },
        "f.pkl --licence L",
    ),
]


def face_training(command: str, **more: Change) -> Use:
    """`train-attributes` and `train-landmarks`."""
    function = "train_face_model"
    return Use(
        command,
        (f"pipeline.commands.face_models.{function}",),
        {
            **without(common(function), "--device"),
            **out(function),
            **given("--data", "d2", f"{function}.data"),
            **given("--sizes", "64x1", f"{function}.sizes"),
            **given("--threads", "3", f"{function}.threads", 3),
            **given("--precision", "float32", f"{function}.precision"),
            **given("--track", "tensorboard:t", f"{function}.track", ["tensorboard:t"]),
            **more,
        },
        "--data d --out o",
    )


COMPARED = "compare_generators.settings"
METRICS = "measure_generator.settings"
GENERATORS = [
    Use(
        "train-generator",
        ("pipeline.commands.generators.training.train_generator",),
        {
            **common("train_generator", seed="settings.seed"),
            **out("train_generator"),
            **given("--data", "d2", "train_generator.data"),
            **given("--start", "s", "train_generator.start"),
            **given("--keep", "a<1", "train_generator.keep", ["a<1"]),
            **flag("--conditional", "train_generator.conditional"),
            "--label-column": Change(
                "--label-column c", {"train_generator.label_column": "c", "train_generator.conditional": True}
            ),
            **given("--balance", "fairface4", "train_generator.balance"),
            **given("--weigh", "a:1..2", "train_generator.weigh", ["a:1..2"]),
            **given("--data-note", "n", "train_generator.data_note"),
            **given("--track", "tensorboard:t", "train_generator.track", ["tensorboard:t"]),
            **given("--batch", "8", "train_generator.settings.batch", 8),
            **given("--threads", "3", "train_generator.settings.threads", 3),
            **given("--precision", "float32", "train_generator.settings.precision"),
            **given("--set", "ema_kimg=3", "train_generator.settings.ema_kimg", 3),
            **given(
                "--feature-networks",
                "efficientnet_lite1,fairforge-mesh148",
                "train_generator.settings.feature_networks",
                ["efficientnet_lite1", "fairforge-mesh148"],
            ),
            "--features-alone": Change(
                "--features-alone --feature-networks fairforge-small",
                {
                    "train_generator.settings.features_alone": True,
                    "train_generator.settings.feature_networks": ["fairforge-small"],
                },
            ),
            **given("--kimg", "3", "train_generator.settings.phases", [{"resolution": 32, "kimg": 3.0}]),
            **given(
                "--phases",
                "16:1,32:2",
                "train_generator.settings.phases",
                [{"resolution": 16, "kimg": 1.0}, {"resolution": 32, "kimg": 2.0}],
            ),
            **given(
                "--resolution", "64", "train_generator.settings.phases", [{"resolution": 64, "kimg": 200.0}]
            ),
        },
        "--data d --out o --resolution 32",
    ),
    Use(
        "train-autoencoder",
        ("pipeline.commands.generators.autoencoder.train_autoencoder",),
        {
            **without(common("train_autoencoder", seed="values.seed"), "--device"),
            **out("train_autoencoder"),
            **given("--data", "d2", "train_autoencoder.data"),
            **given("--size", "64", "train_autoencoder.size", 64),
            **given("--steps", "3", "train_autoencoder.values.steps", 3),
            **given("--batch", "3", "train_autoencoder.values.batch", 3),
            **given("--threads", "3", "train_autoencoder.values.threads", 3),
            **given("--keep", "a<1", "train_autoencoder.keep", ["a<1"]),
            **given("--precision", "float32", "train_autoencoder.values.precision"),
            **given("--data-note", "n", "train_autoencoder.data_note"),
            **given("--track", "tensorboard:t", "train_autoencoder.track", ["tensorboard:t"]),
        },
        "--data d --out o",
    ),
    Use(
        "train-autoencoder",
        ("pipeline.commands.generators.autoencoder.train_autoencoder",),
        {
            "--size": Refusal("--size 65", "no multiple of 8"),
        },
        "--data d --out o",
    ),
    Use(
        "generators compare",
        ("pipeline.commands.generators.comparison.compare_generators",),
        {
            **common(
                "compare_generators", device="settings.device", seed="settings.seed", quiet="reporter.quiet"
            ),
            **out("compare_generators"),
            **given("--data", "d2", f"{COMPARED}.data"),
            **given("--held-out", "h", f"{COMPARED}.held_out"),
            **given("--spaces", "pixels", "compare_generators.spaces", ["pixels"]),
            **flag("--blind", "compare_generators.blind", 64),
            **given("--tiles", "9", "compare_generators.blind", 9, "--blind"),
            **given("--count", "3", f"{COMPARED}.count", 3),
            **given("--references", "3", f"{COMPARED}.references", 3),
            **given("--identities", "3", f"{COMPARED}.identities", 3),
            **given("--resolution", "32", f"{COMPARED}.resolution", 32),
            **given("--psi", "0.5", f"{COMPARED}.psi", 0.5),
            **given("--filter", "a=1", f"{COMPARED}.filters.a", 1),
            **cleaned(COMPARED),
            **given("--balance", "fairface4", f"{COMPARED}.balance"),
            **flag("--fresh", "compare_generators.fresh"),
        },
        "a b --data d --out o",
    ),
    Use(
        "generators compare",
        ("pipeline.commands.generators.comparison.compare_generators",),
        {"--tiles": Refusal("--tiles 9", "without --blind")},
        "a b --data d --out o",
    ),
    Use(
        "generators score",
        ("pipeline.commands.generators.comparison_sheets.score_answers",),
        {**JSON, **given("--key", "k2", "score_answers.key")},
        "a.csv --key k",
    ),
    Use(
        "generators average",
        ("pipeline.commands.generators.averaging.average_generators",),
        {
            **JSON,
            **given("--out", "o2.safetensors", "average_generators.out"),
            **flag("--half", "average_generators.half"),
        },
        "a b --out o",
    ),
    Use(
        "generator-metrics",
        ("pipeline.commands.generators.metrics.measure_generator",),
        {
            **common(
                "measure_generator", device="settings.device", seed="settings.seed", quiet="reporter.quiet"
            ),
            **given("--out", "o2", "measure_generator.out"),
            **given("--data", "d2", f"{METRICS}.data"),
            **given("--generator", "g", f"{METRICS}.generator"),
            **given("--held-out", "h", f"{METRICS}.held_out"),
            **given("--count", "3", f"{METRICS}.count", 3),
            **given("--space", "pixels", f"{METRICS}.space"),
            **given("--space-set", "a=1", f"{METRICS}.space_params.a", 1),
            **given("--resolution", "32", f"{METRICS}.resolution", 32),
            **given("--crop", "detect", f"{METRICS}.crop"),
            **given("--references", "3", f"{METRICS}.references", 3),
            **given("--identities", "3", f"{METRICS}.identities", 3),
            **given("--cells", "c", f"{METRICS}.cells"),
            **given("--cell-draws", "9", f"{METRICS}.cell_draws", 9, "--cells c"),
            **given("--psi", "0.5", f"{METRICS}.psi", 0.5),
            **given("--strength", "2", f"{METRICS}.strength", 2.0, "--cells c"),
            **given("--strategy", "screening", f"{METRICS}.strategy", "screening", "--cells c"),
            **given("--filter", "a=1", f"{METRICS}.filters.a", 1),
            **cleaned(METRICS),
            **given("--balance", "fairface4", f"{METRICS}.balance"),
        },
        "--data d",
    ),
    Use(
        "generator-metrics",
        ("pipeline.commands.generators.metrics.measure_generator",),
        {
            "--cell-draws": Refusal("--cell-draws 9", "without --cells"),
            "--strength": Refusal("--strength 2", "without --cells"),
            "--strategy": Refusal("--strategy screening", "without --cells"),
        },
        "--data d",
    ),
    Use(
        "measure-looks",
        ("pipeline.commands.generators.photograph_looks.measure_looks",),
        {
            **JSON,
            **given("--out", "o2", "measure_looks.out"),
            **given("--data", "d2", "measure_looks.data", ["d", "d2"]),
            **given("--measures", "contrast", "measure_looks.names", ["contrast"]),
            **given("--taxonomy", "fairface7", "measure_looks.taxonomy"),
            **given("--resolution", "32", "measure_looks.resolution", 32),
            **given("--filter", "a=1", "measure_looks.filters.a", 1),
            **cleaned("measure_looks"),
        },
        "--data d",
    ),
    Use(
        "train-generator",
        ("pipeline.commands.generators.training.train_generator",),
        refused("--kimg", why="beside --phases"),
        "--data d --out o --resolution 32 --phases 16:1,32:2",
    ),
    Use(
        "identity-index",
        ("pipeline.commands.identities.index.build_index",),
        {
            **common("build_index", quiet="reporter.quiet"),
            **out("build_index"),
            **given("--data", "d2", "build_index.data"),
            **given("--resolution", "32", "build_index.resolution", 32),
            **given("--limit", "3", "build_index.limit", 3),
            **given("--filter", "a=1", "build_index.filters.a", 1),
            **cleaned("build_index"),
        },
        "--data d --out o",
    ),
    face_training("train-attributes", **given("--trunk", "resnet18", "train_face_model.trunk")),
    face_training("train-landmarks"),
]


def columns(function: str) -> dict:
    return {
        **given("--group", "a,b", f"{function}.columns.groups", ["a", "b"]),
        **given("--label", "l", f"{function}.columns.label"),
        **given("--score", "s", f"{function}.columns.score"),
        **given("--key", "k", f"{function}.columns.key"),
    }


MEASURE, COMPARE, SWEEP = "fairness_of_scores.measure", "compare_scores", "robustness"
SCORES = [
    Use(
        "fairness",
        ("pipeline.stages.evaluate.score_reports.fairness_of_scores",),
        {
            **JSON,
            **columns("fairness_of_scores"),
            **given("--mode", "purdue", f"{MEASURE}.mode"),
            **given("--seed", "9", f"{MEASURE}.seed", 9),
            **given("--min-n", "7", f"{MEASURE}.min_n", 7),
            **given("--ties", "mid", f"{MEASURE}.ties"),
            **given("--replicates", "7", f"{MEASURE}.replicates", 7),
            **given("--threshold", "0.7", "fairness_of_scores.threshold", 0.7),
        },
        "s.csv",
    ),
    Use(
        "compare",
        ("pipeline.stages.evaluate.score_reports.compare_scores", "pipeline.cli.evaluation_commands._write"),
        {
            **JSON,
            **columns(COMPARE),
            **given("--threshold-a", "0.7", f"{COMPARE}.thresholds", [0.7, None]),
            **given("--threshold-b", "0.7", f"{COMPARE}.thresholds", [None, 0.7]),
            **given("--min-n", "7", f"{COMPARE}.min_n", 7),
            **given("--ties", "mid", f"{COMPARE}.ties"),
            **given("--replicates", "7", f"{COMPARE}.replicates", 7),
            **given("--seed", "9", f"{COMPARE}.seed", 9),
            **given("--level", "video", f"{COMPARE}.level"),
            **given("--out", "o2", "_write.folder"),
        },
        "a b",
    ),
    Use(
        "table",
        ("pipeline.commands.evaluate.table.cross_table", "pipeline.cli.evaluation_commands._write"),
        {
            **JSON,
            **given("--name", "n", "cross_table.names", ["n"]),
            **given("--gap", "F_DP", "cross_table.gaps", ["F_DP"]),
            **given("--group", "race", "cross_table.kind"),
            **given("--level", "video", "cross_table.level"),
            **given("--format", "csv", "emit.text"),
            **given("--out", "o2", "_write.folder"),
        },
        "r",
    ),
    Use(
        "table",
        ("pipeline.commands.evaluate.table.cross_table",),
        {
            "--format": Refusal("--format csv", "beside --json"),
        },
        "r --json",
    ),
    Use(
        "detector-card",
        ("pipeline.commands.evaluate.card.write_card",),
        {
            **without(common("write_card"), "--quiet"),
            **given("--checkpoint", "c2", "write_card.checkpoint"),
            **out("write_card"),
            **given("--perturb", "blur", "write_card.perturbations"),
            **given("--images", "7", "write_card.images", 7),
            **given("--replicates", "7", "write_card.replicates", 7),
        },
        "e --checkpoint c --out o",
    ),
    Use(
        "causal-check",
        ("pipeline.commands.evaluate.causal_check.causal_check",),
        {
            **without(common("causal_check"), "--quiet"),
            **given("--checkpoint", "c2", "causal_check.checkpoint"),
            **given("--manifest", "m2", "causal_check.manifest"),
            **given("--split", "val", "causal_check.split"),
            **given("--feature", "border", "causal_check.features", ["border"]),
            **given("--move", "0.2", "causal_check.limit", 0.2),
            **given("--threshold", "0.7", "causal_check.threshold", 0.7),
            **given("--replicates", "70", "causal_check.replicates", 70),
            **out("causal_check"),
        },
        "--checkpoint c --manifest m",
    ),
    Use(
        "robustness",
        ("pipeline.commands.evaluate.robustness.robustness",),
        {
            **without(common(SWEEP), "--quiet"),
            **given("--checkpoint", "c2", f"{SWEEP}.checkpoint"),
            **given("--manifest", "m2", f"{SWEEP}.manifest"),
            **given("--split", "val", f"{SWEEP}.split"),
            **given("--perturb", "blur", f"{SWEEP}.perturbations"),
            **given("--threshold", "0.7", f"{SWEEP}.threshold", 0.7),
            **given("--min-n", "7", f"{SWEEP}.min_n", 7),
            **given("--replicates", "7", f"{SWEEP}.replicates", 7),
            **out(SWEEP),
        },
        "--checkpoint c --manifest m",
    ),
]

ANNOTATE, POLICY, IMPORT = "annotate_paths", "make_policy", "import_dataset"
FACES = [
    Use(
        "attributes",
        ("pipeline.commands.attributes.annotation.annotate_paths",),
        {
            **without(common(ANNOTATE, device="settings.device"), "--seed"),
            **given("--model", "x", f"{ANNOTATE}.settings.model"),
            **given("--model-file", "f", f"{ANNOTATE}.settings.model_file"),
            **given("--out", "o2.parquet", f"{ANNOTATE}.out"),
            **flag("--all-faces", f"{ANNOTATE}.settings.all_faces"),
            **flag("--aligned", f"{ANNOTATE}.settings.aligned"),
            **given("--detector", "d", f"{ANNOTATE}.settings.detector"),
            **given("--landmarker", "l", f"{ANNOTATE}.settings.landmarker"),
            **given("--min-face-score", "0", f"{ANNOTATE}.settings.min_face_score", 0.0),
            **given("--frames", "3", f"{ANNOTATE}.settings.frames", 3),
            "--taxonomy": Refusal("--taxonomy fairface7", "without --evaluate"),
            "--evaluate": Refusal("--evaluate e", "not both"),
        },
        "p.jpg --out o.parquet",
    ),
    Use(
        "attributes",
        ("pipeline.commands.attributes.evaluation.evaluate_model",),
        {
            **given("--taxonomy", "fairface7", "evaluate_model.taxonomy"),
            **given("--evaluate", "e2", "evaluate_model.source"),
            "--landmarker": Refusal("--landmarker l", "with --evaluate"),
            "--frames": Refusal("--frames 3", "with --evaluate"),
            **given("--out", "o2", "evaluate_model.out"),
        },
        "--evaluate e",
    ),
    Use(
        "attributes",
        ("pipeline.commands.attributes.annotation.annotate_paths",),
        {
            "--detector": Refusal("--detector d", "aligned faces"),
            "--all-faces": Refusal("--all-faces", "aligned faces"),
            "--min-face-score": Refusal("--min-face-score 0", "aligned faces"),
        },
        "p.jpg --out o.parquet --aligned",
    ),
    Use(
        "verification-policy",
        ("pipeline.commands.attributes.policy.make_policy",),
        {
            **common(POLICY, device="settings.device"),
            **given("--data", "d2", f"{POLICY}.data"),
            **out(POLICY),
            **given("--target", "0.9", f"{POLICY}.target", 0.9),
            **given("--taxonomy", "fairface7", f"{POLICY}.taxonomy"),
            **given("--model", "x", f"{POLICY}.settings.model"),
            **given("--model-file", "f", f"{POLICY}.settings.model_file"),
            **given("--second-model", "x", f"{POLICY}.second_model"),
            **flag("--aligned", f"{POLICY}.settings.aligned"),
        },
        "--data d --out o",
    ),
    Use(
        "identities",
        ("pipeline.commands.identities.companion.write_identities",),
        {
            **without(common("write_identities", quiet="reporter.quiet"), "--seed"),
            **out("write_identities"),
            **given("--index", "i", "write_identities.index_file"),
            **given("--identity-model", "x", "write_identities.identity_model"),
            **given("--duplicate-distance", "0.5", "write_identities.duplicate_distance", 0.5),
        },
        "m",
    ),
    Use(
        "predict",
        ("pipeline.commands.prediction.predict_command",),
        {
            **without(common("predict_command"), "--seed", "--quiet"),
            **given("--checkpoint", "c2", "predict_command.checkpoint"),
            "--faces": Change("--no-faces", {"predict_command.faces": "never"}),
            **given("--frames", "3", "predict_command.frames", 3),
            **given("--heatmap", "h", "predict_command.heatmaps"),
        },
        "p.jpg --checkpoint c",
        returns=([{"status": "ok"}], "text"),
    ),
    Use(
        "export-onnx",
        ("pipeline.commands.prediction.export_command",),
        {
            **JSON,
            **out("export_command"),
            **given("--checkpoint", "c2", "export_command.checkpoint"),
        },
        "--checkpoint c --out o",
    ),
    Use(
        "import",
        ("pipeline.commands.datasets.import_dataset", "pipeline.commands.datasets.check_layout"),
        {
            **without(common(IMPORT), "--seed", "--quiet"),
            **out(IMPORT),
            **given("--taxonomy", "fairface7", f"{IMPORT}.taxonomy"),
            **given("--compression", "c40", f"{IMPORT}.params.compression"),
            **given("--annotations", "a", f"{IMPORT}.params.annotations"),
            **given("--frames", "3", f"{IMPORT}.params.frames", 3),
            **given("--split", "val", f"{IMPORT}.params.splits", ["val"]),
            **given("--faces", "none", f"{IMPORT}.faces.detector"),
            **given("--crop", "aligned", f"{IMPORT}.faces.style"),
            **given("--margin", "1.5", f"{IMPORT}.faces.margin", 1.5),
            **given("--size", "64", f"{IMPORT}.size", 64),
            **given("--codec", "webp", f"{IMPORT}.codec"),
            **given("--quality", "70", f"{IMPORT}.quality", 70, "--codec jpeg"),
            **given("--set", "x=1", f"{IMPORT}.params.x", 1),
            "--check": Change("--check", {"check_layout.adapter": "ffpp"}),
        },
        "ffpp s --out o",
        returns=([], "text"),
    ),
    Use(
        "import",
        ("pipeline.commands.datasets.import_dataset",),
        {
            "--crop": Refusal("--crop box", "with --faces none"),
            "--margin": Refusal("--margin 2", "with --faces none"),
            "--device": Refusal("--device cuda:1", "with --faces none"),
            "--quality": Refusal("--quality 70", "with --codec png"),
        },
        "ffpp s --out o --faces none",
    ),
    Use(
        "import",
        ("pipeline.commands.datasets.import_dataset",),
        {
            "--faces": Refusal("--faces none", "with clips"),
            "--crop": Refusal("--crop box", "with clips"),
            "--margin": Refusal("--margin 2", "with clips"),
            "--size": Refusal("--size 64", "with clips"),
            "--codec": Refusal("--codec png", "with clips"),
            "--quality": Refusal("--quality 70", "with clips"),
            "--device": Refusal("--device cuda:1", "with clips"),
        },
        "grid s --out o",
    ),
    Use(
        "export",
        ("pipeline.commands.export.export_manifest",),
        {
            **JSON,
            **out("export_manifest"),
            **given("--set", "a=1", "export_manifest.sets", ["a=1"]),
        },
        "purdue m --out o",
    ),
    Use("upload", ("pipeline.commands.remote.upload_folder",), {**JSON}, "f s3://b/f"),
    Use("download", ("pipeline.commands.remote.download_folder",), {**JSON}, "s3://b/f f"),
    Use("check-release", ("pipeline.commands.datasets.check_folder",), {**JSON}, "f", returns=([], "text")),
    Use(
        "diff-release",
        ("pipeline.commands.datasets.diff_folders",),
        {**JSON},
        "f g",
        returns=({"findings": []}, "text"),
    ),
]
