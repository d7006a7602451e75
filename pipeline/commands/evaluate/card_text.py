"""A detector's card as Markdown: figures with intervals, and what they say about where it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.stages.evaluate.score_reports import table_text, text_of

FIGURES = ("AUC", "TPR", "FPR")
WEAK = 0.75
"""AUC below which a method stands among the failures."""
USE = """## What it is for

Research on deepfake detection and its fairness, as a baseline and for a first look at pictures of faces. A score is no verdict: it
is the estimate of one network, wrong as often as the tables say, and more often on pictures and forgeries unlike those in them.

**Not for** deciding anything about a person, for accusing somebody of a forgery, for moderation without a human being who looks,
or as evidence; not for telling who somebody is or which group they belong to. Cells are *perceived* race and gender, of annotators
or of a classifier trained on their labels. A small gap beside a low AUC is no fairness."""


def _interval(pair: Any) -> str:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] is None:
        return ""
    return f" [{pair[0]:.3f}, {pair[1]:.3f}]"


def _figures(row: Mapping[str, Any]) -> list[str]:
    return [text_of(row[f]) + _interval(row["intervals"].get(f)) for f in FIGURES]


def _share(one: Mapping[str, Any]) -> str:
    return text_of(one["value"]) + _interval([one["lower"], one["upper"]])


def _said(quality: Mapping[str, Any]) -> str:
    if quality["quality"] == "clean":
        return "as they are"
    return f"{quality['quality']} {quality['strength']:g} ({quality['unit']})"


def _facts(value: Mapping[str, Any]) -> str:
    training, rows = value["training"], []
    settings = training.get("settings") or {}
    rows.append(["file", f"{value['bytes'] / 1e6:.2f} MB, sha256 {value['sha256']}"])
    rows.append(
        ["network", f"{value['backbone']}, {value['parameters']:,} parameters, {value['input_size']} px"]
    )
    if value.get("beside"):
        rows.append(["beside it", f"{', '.join(value['beside'])}: logits are added"])
    rows.append(["licence", value["licence"] or "not recorded"])
    rows.append(["data", value["data"] or "not recorded"])
    if "steps" in training:
        said = f"{training['steps']:,} steps, {training['images_seen']:,} images seen, up to the weights kept"
        before = training.get("before")
        if before:
            said += (
                f"; before, {before['steps']:,} steps and {before['images_seen']:,} images of the detector it"
                " went on from"
            )
        elif before is not None:
            said += "; it went on from a detector whose training is not recorded"
        rows.append(["training", said])
    images = training.get("images") or {}
    if images:
        rows.append(["images", ", ".join(f"{name} {count:,}" for name, count in images.items())])
    trained = ", ".join(value["trained_on"] or []) or "stored ones; not recorded which"
    rows.append(
        ["fakes trained on", trained + (" (drawn anew at every step)" if value["trained_on"] else "")]
    )
    chosen = [
        f"{name} {settings[name]}"
        for name in ("loss", "optimizer", "tune", "pretrained")
        if settings.get(name)
    ]
    if chosen:
        rows.append(["settings", ", ".join(chosen)])
    return table_text(["of", "what"], rows)


def _calibration(value: Mapping[str, Any]) -> str:
    policy = value["threshold"]
    at = f"Called fake from {policy['value']:.4g} on ({policy['policy']}, fixed on validation images)."
    known = value["calibration"]
    if not isinstance(known, dict):
        return f"{at} No temperature was fitted: scores are no calibrated probabilities."
    before, after = known["before"], known["after"]
    rows = [
        ["before", text_of(before["ece"]), text_of(before["nll"])],
        ["after", text_of(after["ece"]), text_of(after["nll"])],
    ]
    return "\n\n".join(
        [
            (
                f"{at} Temperature {value['temperature']:.3f}, fitted on {known['n']} validation images; each"
                " half of them is judged at the temperature of the other, real and fake weigh alike."
            ),
            table_text(["", "expected calibration error", "negative log-likelihood"], rows),
        ]
    )


def _dataset(name: str, one: Mapping[str, Any], trained: list[str] | None) -> str:
    head = ["", "real", "fake", *FIGURES]
    cells = [
        ["all", *map(str, (one["overall"]["n_real"], one["overall"]["n_fake"])), *_figures(one["overall"])]
    ]
    cells += [
        [cell, str(row["n_real"]), str(row["n_fake"]), *_figures(row)] for cell, row in one["cells"].items()
    ]
    parts = [f"## On {name} ({one['split']})", table_text(head, cells)]
    floors = ", ".join(f"{title} {text_of(auc)}" for title, auc in one["floors"].items())
    parts.append(f"AUC of the floors: {floors}.")
    gap, null = one["gaps"].get("F_FPR"), (one["gaps"].get("null") or {}).get("F_FPR") or {}
    if gap is not None:
        chance = (
            f"; under equal treatment 95 % of such gaps are below {text_of(null.get('p95'))}, p"
            f" {text_of(null.get('p'))}"
        )
        parts.append(
            f"Largest difference of FPR between cells (F_FPR): {text_of(gap)}{chance if null else ''}."
        )
    else:
        parts.append(
            "The largest difference of FPR between cells (F_FPR) is not estimable: too few cells, or people"
            " in them."
        )
    rows = [[method, _seen(method, trained), *_figures(row)] for method, row in one["methods"].items()]
    parts.append(table_text(["method", "trained on", *FIGURES], rows))
    if one["qualities"]:
        rows = [[_said(q), str(q["n"]), _share(q["FPR"])] for q in one["qualities"]]
        parts.append(table_text(["real images", "n", "FPR"], rows))
    return "\n\n".join(parts)


def _seen(method: str, trained: list[str] | None) -> str:
    return "unknown" if trained is None else "yes" if method in trained else "never"


def failures(value: Mapping[str, Any]) -> list[str]:
    """Where the detector does worst, as sentences, out of the figures: cells, qualities, methods never
    trained on.
    """
    out = []
    for name, one in value["datasets"].items():
        for figure, worst, word in (
            ("FPR", max, "most often calls real faces fake"),
            ("TPR", min, "most often misses fakes"),
        ):
            known = [(row[figure], cell) for cell, row in one["cells"].items() if row[figure] is not None]
            if len(known) > 1:
                rate, cell = worst(known)
                between = _interval(one["cells"][cell]["intervals"].get(figure))
                out.append(f"{name}: it {word} in {cell}: {figure} {text_of(rate)}{between}.")
        clean = next((q["FPR"] for q in one["qualities"] if q["quality"] == "clean"), None)
        worse = [
            q
            for q in one["qualities"]
            if clean and q["quality"] != "clean" and q["FPR"]["lower"] > clean["upper"]
        ]
        for q in sorted(worse, key=lambda q: -q["FPR"]["value"]):
            out.append(
                f"{name}: {_said(q)} raises FPR from {text_of(clean['value'] if clean else None)} to"
                f" {_share(q['FPR'])}."
            )
        if one["qualities"] and not worse:
            out.append(f"{name}: no quality that was tried raises FPR beyond what chance allows.")
        for method, row in sorted(one["methods"].items(), key=lambda item: item[1]["AUC"] or 0):
            if _seen(method, value["trained_on"]) != "yes" and row["AUC"] is not None and row["AUC"] < WEAK:
                never = "never trained on" if value["trained_on"] is not None else "perhaps trained on"
                between = _interval(row["intervals"].get("AUC"))
                out.append(f"{name}: {method}, {never}: AUC {text_of(row['AUC'])}{between}.")
    return out


def as_markdown(value: Mapping[str, Any]) -> str:
    """The whole card."""
    parts = [
        f"# Detector `{value['name']}`",
        (
            "Made by `fairforge detector-card`: every figure below is measured, with 95 % intervals "
            "in brackets (bootstrap over identities; Wilson's for shares of images)."
        ),
        _facts(value),
        USE,
        "## Threshold and calibration",
        _calibration(value),
        *(_dataset(name, one, value["trained_on"]) for name, one in value["datasets"].items()),
        "## Where it fails",
        "\n".join(f"- {line}" for line in failures(value)),
    ]
    parts += [f"Not measured here: {reason}." for reason in value["without"]]
    return "\n\n".join(parts) + "\n"
