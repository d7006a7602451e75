"""The part of the table for clips: `audit` of a manifest, and `av`."""

from tests.pipeline.option_table import JSON, Change, Refusal, Use, flag, given, refused

HOW = "rewrite_clips.how"
AV = [
    Use("audit", ("pipeline.manifest_audit.audit_file",), {
        **JSON, **refused("--workers", "--executor", "--shard", "--limit", "--allow-short", "--fresh", "--dry-run"),
        "--device": Refusal("--device cuda:1"), "--set": Change("--set 'audit.audits=[\"leaks\"]'", {
            "audit_file.config.audit.audits": ["leaks"]}),
        "--config": Change("--config {config}", {"audit_file.config.run.seed": 77, "audit_file.config.run.name": "other"}),
        **given("--out", "o2", "audit_file.out"), **given("--seed", "9", "audit_file.config.run.seed", 9),
        **flag("--quiet", "audit_file.quiet"),
    }, "m", returns=({}, "text", True)),
    Use("audit", ("pipeline.manifest_audit.audit_file",), {"--set": Refusal("--set sample.psi=1")}, "m",
        returns=({}, "text", True)),
    Use("av rewrite", ("pipeline.audio_visual.rewriting.rewrite_clips",), {
        **JSON, **given("--out", "o2", "rewrite_clips.out"), **flag("--trim", f"{HOW}.trim"),
        **given("--seconds", "2", f"{HOW}.seconds", 2.0), **given("--width", "64", f"{HOW}.width", 64),
        **given("--height", "64", f"{HOW}.height", 64), **given("--crf", "30", f"{HOW}.crf", 30),
        **flag("--lossless", f"{HOW}.lossless"), **flag("--quiet", "rewrite_clips.quiet"),
        "--plant-silence": Change("--plant-silence 0.02,0.03", {f"{HOW}.plant": [0.02, 0.03]}),
        **given("--seed", "9", f"{HOW}.seed", 9, "--plant-silence 0.02,0.03"),
    }, "m --out o"),
    Use("av rewrite", ("pipeline.audio_visual.rewriting.rewrite_clips",), {
        "--seed": Refusal("--seed 9"), "--plant-silence": Refusal("--plant-silence a", "not LEAST,MOST"),
        "--seconds": Refusal("--seconds 0", "shorter than a frame")}, "m --out o"),
]
