"""Fairness gaps as formulas on counts: the published definitions (`purdue`) and the corrected ones.

Counts are float64 [..., G, 4] in the order of `COUNTS`, one row per group; the leading axes are bootstrap replicates
or permutations, so that a point estimate, its interval and its null come out of the same lines.

Sources: Ju et al., WACV 2024 (arXiv 2306.16635) for F_FPR, F_EFPR, F_EO; Lin et al., CVPR 2024 (arXiv 2402.17229)
and AI-Face (arXiv 2406.00783) for F_OAE, F_DP, F_MEO. All gaps here are fractions; published tables show
F_FPR, F_OAE, F_DP, F_MEO and G_AUC times 100.

Mode `purdue` keeps what the published numbers do: a group with one class only vanishes from every gap (its rows
still count in the pooled rates); F_EFPR and F_EO are sums, which grow with the number of groups; F_DP is the raw
range of predicted-positive rates, confounded by each group's share of fakes; no group is too small.
Mode `corrected`: each rate uses the groups in which it is estimable; F_EFPR and F_EO are means over groups; F_DP
compares groups at the same share of fakes (the pooled one): PR_g = p TPR_g + (1 - p) FPR_g.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from detector.metrics import NAN, Floats

COUNTS = ("n_real", "n_fake", "fp", "tp")
RATES = ("ACC", "TPR", "FPR", "PR")
MODES = ("corrected", "purdue")
GAPS = ("F_FPR", "F_OAE", "F_DP", "F_MEO", "F_EFPR", "F_EO", "G_AUC")
NEEDS: Mapping[str, tuple[str, ...]] = {
    "F_FPR": ("FPR",), "F_OAE": ("ACC",), "F_DP": ("TPR", "FPR"), "F_DP_raw": ("PR",), "F_MEO": ("TPR", "FPR"),
    "F_EFPR": ("FPR",), "F_EO": ("TPR", "FPR"), "G_AUC": ("AUC",),
}
"""The rates that a gap of mode `corrected` is made of."""

Mask = npt.NDArray[np.bool_]


def _divide(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, NAN), where=whole > 0)


def rates_of(counts: Floats) -> dict[str, Floats]:
    """ACC, TPR, FPR and PR, each [..., G] in [0, 1], out of counts [..., G, 4]; 0 / 0 is NaN."""
    real, fake, fp, tp = np.moveaxis(counts, -1, 0)
    return {
        "ACC": _divide(tp + real - fp, real + fake), "TPR": _divide(tp, fake), "FPR": _divide(fp, real),
        "PR": _divide(tp + fp, real + fake),
    }


def value_range(values: Floats, used: Mask) -> Floats:
    """max - min over the used groups that are defined: [...] out of [..., G]; NaN with fewer than two."""
    ok = used & np.isfinite(values)
    high = np.where(ok, values, -np.inf).max(-1, initial=-np.inf)
    low = np.where(ok, values, np.inf).min(-1, initial=np.inf)
    return np.where(ok.sum(-1) >= 2, high - np.where(np.isfinite(low), low, 0.0), NAN)


def mean_gap(values: Floats, used: Mask) -> Floats:
    """Mean absolute difference over all pairs of used groups: [...]; it does not grow with the number of groups."""
    ok = used & np.isfinite(values)
    left, right = np.triu_indices(values.shape[-1], 1)
    both = ok[..., left] & ok[..., right]
    apart = np.where(both, np.abs(values[..., left] - values[..., right]), 0.0)
    return _divide(apart.sum(-1), both.sum(-1).astype(np.float64))


def _deviation(values: Floats, pooled: Floats, used: Mask, *, total: bool) -> Floats:
    ok = used & np.isfinite(values)
    away = np.where(ok, np.abs(values - pooled[..., None]), 0.0).sum(-1)
    n = ok.sum(-1).astype(np.float64)
    return np.where(n >= 2, away if total else _divide(away, n), NAN)


def adjusted_rates(counts: Floats) -> Floats:
    """Predicted-positive rate of each group at the pooled share of fakes: [..., G] out of counts [..., G, 4]."""
    rates = rates_of(counts)
    pooled = counts.sum(-2)
    share = _divide(pooled[..., 1], pooled[..., 0] + pooled[..., 1])[..., None]
    return share * rates["TPR"] + (1 - share) * rates["FPR"]


def gaps_of(counts: Floats, used: Mapping[str, Mask], mode: str) -> dict[str, Floats]:
    """Every gap but G_AUC, each [...], out of counts [..., G, 4].

    Args:
        used: for each of ACC, TPR, FPR and PR the groups that may enter, bool [G].
        mode: `purdue` or `corrected`; see the module's text. `corrected` adds F_DP_raw.
    """
    rates, total = rates_of(counts), mode == "purdue"
    pooled = rates_of(counts.sum(-2))
    fpr_range, tpr_range = value_range(rates["FPR"], used["FPR"]), value_range(rates["TPR"], used["TPR"])
    raw = value_range(rates["PR"], used["PR"])
    efpr = _deviation(rates["FPR"], pooled["FPR"], used["FPR"], total=total)
    out = {
        "F_FPR": fpr_range, "F_OAE": value_range(rates["ACC"], used["ACC"]), "F_DP": raw,
        "F_MEO": np.maximum(fpr_range, tpr_range), "F_EFPR": efpr,
        "F_EO": efpr + _deviation(rates["TPR"], pooled["TPR"], used["TPR"], total=total),
    }
    if not total:
        out |= {"F_DP": value_range(adjusted_rates(counts), used["TPR"] & used["FPR"]), "F_DP_raw": raw}
    return out


def mean_gaps_of(counts: Floats, used: Mapping[str, Mask]) -> dict[str, Floats]:
    """Mean pairwise gaps (corrected mode) of FPR, ACC, prevalence-adjusted PR and the worse of TPR and FPR."""
    rates = rates_of(counts)
    fpr_gap = mean_gap(rates["FPR"], used["FPR"])
    return {
        "F_FPR": fpr_gap, "F_OAE": mean_gap(rates["ACC"], used["ACC"]),
        "F_DP": mean_gap(adjusted_rates(counts), used["TPR"] & used["FPR"]),
        "F_MEO": np.maximum(fpr_gap, mean_gap(rates["TPR"], used["TPR"])),
    }
