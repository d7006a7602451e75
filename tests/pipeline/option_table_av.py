"""The part of the table for clips: `audit` of a manifest, and `av`."""

from tests.pipeline.option_table import JSON, Change, Plan, Refusal, Use, flag, given, refused, shared

HOW = "rewrite_clips.how"
TRAIN = "train_command.settings"
TALK = "make_talk.run.config"
AV = [
    Use(
        "audit",
        ("pipeline.commands.audit.audit_file",),
        {
            **JSON,
            **refused(
                "--workers", "--executor", "--shard", "--limit", "--allow-short", "--fresh", "--dry-run"
            ),
            "--device": Refusal("--device cuda:1"),
            "--set": Change(
                "--set 'audit.audits=[\"leaks\"]'", {"audit_file.config.audit.audits": ["leaks"]}
            ),
            "--config": Change(
                "--config {config}", {"audit_file.config.run.seed": 77, "audit_file.config.run.name": "other"}
            ),
            **given("--out", "o2", "audit_file.out"),
            **given("--seed", "9", "audit_file.config.run.seed", 9),
            **flag("--quiet", "audit_file.quiet"),
        },
        "m",
        returns=({}, "text", True),
    ),
    Use(
        "audit",
        ("pipeline.commands.audit.audit_file",),
        {"--set": Refusal("--set sample.psi=1")},
        "m",
        returns=({}, "text", True),
    ),
    Use(
        "av features",
        ("pipeline.commands.audio_visual.features.features_command",),
        {
            **JSON,
            **given("--out", "o2", "features_command.out"),
            **flag("--trim", "features_command.trim"),
            **given("--published", "p", "features_command.published"),
            **given("--device", "cuda:1", "features_command.device"),
            **given("--workers", "3", "features_command.workers", 3),
            **flag("--quiet", "features_command.quiet"),
        },
        "c --out o",
        returns=({}, "text", True),
    ),
    Use(
        "av features",
        ("pipeline.commands.audio_visual.features.features_command",),
        {
            "--trim": Refusal("--trim"),
            "--device": Refusal("--device cuda:1"),
            "--workers": Refusal("--workers 2"),
        },
        "c --out o --published p",
        returns=({}, "text", True),
    ),
    Use(
        "av train",
        ("pipeline.commands.audio_visual.training.train_command",),
        {
            **JSON,
            **given("--out", "o2", "train_command.out"),
            **given("--features", "f2", "train_command.features"),
            "--supervised": Change("--supervised", {f"{TRAIN}.kind": "supervised"}),
            **given("--encoder", "e", "train_command.encoder"),
            **given("--steps", "3", f"{TRAIN}.steps", 3),
            **given("--encoder-steps", "3", f"{TRAIN}.encoder_steps", 3),
            **given("--threads", "1", f"{TRAIN}.threads", 1),
            **given("--set", "lr=0.5", f"{TRAIN}.lr", 0.5),
            **given("--seed", "9", f"{TRAIN}.seed", 9),
            **flag("--fresh", "train_command.fresh"),
            **flag("--quiet", "train_command.quiet"),
        },
        "--features f --out o",
    ),
    Use(
        "av train",
        ("pipeline.commands.audio_visual.training.train_command",),
        {
            "--encoder-steps": Refusal("--encoder-steps 3", "beside --encoder"),
            "--set": Refusal("--set a=1", "keys are"),
        },
        "--features f --out o --encoder e",
    ),
    Use(
        "av predict",
        ("pipeline.commands.audio_visual.prediction.predict_command",),
        {
            **JSON,
            **given("--checkpoint", "d2", "predict_command.checkpoint"),
            **flag("--trim", "predict_command.trim"),
            **given("--plots", "p", "predict_command.plots"),
            **given("--device", "cuda:1", "predict_command.device"),
        },
        "c --checkpoint d",
        returns=([], "text", True),
    ),
    Use(
        "av evaluate",
        ("pipeline.commands.audio_visual.evaluation.evaluate_clips",),
        {
            **JSON,
            **given("--checkpoint", "d2", "evaluate_clips.request.checkpoint"),
            **given("--out", "o2", "evaluate_clips.request.out"),
            **given("--manifest", "m", "evaluate_clips.request.manifest"),
            **given("--split", "val", "evaluate_clips.request.split"),
            **flag("--trim", "evaluate_clips.request.trim"),
            **given("--min-n", "7", "evaluate_clips.measure.min_n", 7),
            **given("--replicates", "0", "evaluate_clips.measure.replicates", 0),
            **given("--seed", "9", "evaluate_clips.measure.seed", 9),
            **given("--device", "cuda:1", "evaluate_clips.device"),
            **given("--workers", "3", "evaluate_clips.workers", 3),
            **flag("--quiet", "evaluate_clips.quiet"),
            **given("--features", "f", "evaluate_clips.request.features"),
        },
        "--checkpoint d --out o",
    ),
    Use(
        "av evaluate",
        ("pipeline.commands.audio_visual.evaluation.evaluate_clips",),
        {"--device": Refusal("--device cuda:1"), "--workers": Refusal("--workers 2")},
        "--checkpoint d --out o --features f",
    ),
    Use(
        "av rewrite",
        ("pipeline.commands.audio_visual.rewriting.rewrite_clips",),
        {
            **JSON,
            **given("--out", "o2", "rewrite_clips.out"),
            **flag("--trim", f"{HOW}.trim"),
            **given("--seconds", "2", f"{HOW}.seconds", 2.0),
            **given("--width", "64", f"{HOW}.width", 64),
            **given("--height", "64", f"{HOW}.height", 64),
            **given("--crf", "30", f"{HOW}.crf", 30),
            **flag("--lossless", f"{HOW}.lossless"),
            **flag("--quiet", "rewrite_clips.quiet"),
            "--plant-silence": Change("--plant-silence 0.02,0.03", {f"{HOW}.plant": [0.02, 0.03]}),
            **given("--seed", "9", f"{HOW}.seed", 9, "--plant-silence 0.02,0.03"),
        },
        "m --out o",
    ),
    Use(
        "av rewrite",
        ("pipeline.commands.audio_visual.rewriting.rewrite_clips",),
        {
            "--seed": Refusal("--seed 9"),
            "--plant-silence": Refusal("--plant-silence a", "not LEAST,MOST"),
            "--seconds": Refusal("--seconds 0", "shorter than a frame"),
        },
        "m --out o",
    ),
    Use(
        "av embed",
        ("pipeline.commands.audio_visual.embedding.embed_model",),
        {
            **JSON,
            **given("--name", "n2", "embed_model.name"),
            **given("--licence", "L2", "embed_model.licence"),
            **given("--data", "d2", "embed_model.data"),
            **given("--features", "f2", "embed_model.features"),
            **given("--evaluation", "e2", "embed_model.evaluation"),
            **given("--recipe", "r", "embed_model.recipe"),
            **given("--out", "o2", "embed_model.out"),
        },
        "d --name n --licence L --data d --features f --evaluation e",
    ),
    Use(
        "talk",
        ("pipeline.commands.talking.command.make_talk",),
        {
            **shared(TALK),
            "--config": Change(
                "--config {config}",
                {
                    f"{TALK}.run.name": "other",
                    f"{TALK}.run.seed": 77,
                    f"{TALK}.train.epochs": 35,
                    f"{TALK}.train.beside": [],
                    f"{TALK}.evaluate.previous": "",
                },
                beside="--config configs/small.toml",
            ),
            **given("--set", "sample.psi=0.6", f"{TALK}.sample.psi", 0.6),
            "--workers": Change(
                "--workers 5", {f"{TALK}.execute.workers": 5, f"{TALK}.execute.cluster_workers": 5}
            ),
            **given("--executor", "local", f"{TALK}.execute.executor"),
            **given("--device", "cuda:1", f"{TALK}.execute.device"),
            **given("--shard", "1/2", "make_talk.flags.shard"),
            **flag("--fresh", "make_talk.flags.fresh"),
            **flag("--allow-short", f"{TALK}.pair.allow_short"),
            **flag("--quiet", "make_talk.quiet"),
            "--dry-run": Plan(instead="plan_talk"),
            "--out": Change("--out {tmp}/r2", {"make_talk.run.root": "{tmp}/r2"}),
            **given("--per-cell", "4", f"{TALK}.dataset.per_cell", 4),
            "--methods": Change("--methods av-shift", {"make_talk.talk.methods": ["av-shift"]}),
            **given("--seconds", "2", "make_talk.talk.seconds", 2.0),
            **given("--size", "96", "make_talk.talk.size", 96),
            "--run": Change("--run r", {"make_talk.talk.faces": "r"}),
        },
        plans=("pipeline.commands.talking.command.plan_talk",),
    ),
    Use(
        "talk",
        ("pipeline.commands.talking.command.make_talk",),
        {"--per-cell": Refusal("--per-cell 4"), "--methods": Refusal("--methods av-none", "is not known")},
        "--limit 3",
    ),
]
