"""Groups, pairs of groups and clusters, and datasets without end: a message at once, in every measure that
takes groups.
"""

import numpy as np
import pytest

from detector import fairness
from detector.fairness import MOST_GROUPS
from detector.metrics import comparison, resampling
from detector.metrics.method_gaps import method_gaps
from manifests.errors import DataError, UsageError
from pipeline.__main__ import main
from pipeline.stages.evaluate import score_files as scores
from pipeline.stages.evaluate.score_files import MOST_DATASETS, read_scores

N = 2 * MOST_GROUPS + 2
Y, SCORE = np.arange(N) % 2, np.linspace(0, 1, N)
METHODS = ["swap"] * N
MEASURES = {
    "report": lambda groups: fairness.report(Y, SCORE, {"race": groups}, replicates=2),
    "purdue": lambda groups: fairness.report(Y, SCORE, {"race": groups}, mode="purdue", replicates=0),
    "by method": lambda groups: method_gaps(Y, SCORE, METHODS, groups, replicates=2),
    "compare": lambda groups: comparison.compare(Y, SCORE, SCORE, {"race": groups}, replicates=2),
}
EACH = [f"g{k // 2}" for k in range(N)]
"""One group more than there may be."""


@pytest.mark.parametrize("name", MEASURES)
def test_too_many_groups(name):
    with pytest.raises(UsageError, match=f"{MOST_GROUPS + 1} groups") as caught:
        MEASURES[name](EACH)
    assert "one value per demographic group" in caught.value.fix


@pytest.mark.parametrize("name", ["report", "by method", "compare"])
def test_too_many_pairs_of_groups_and_clusters(name, monkeypatch):
    monkeypatch.setattr(resampling, "MOST_PAIRS", 1000)
    with pytest.raises(UsageError, match="more than 1000 pairs"):
        MEASURES[name](["a", "b"] * (N // 2))


def test_a_million_groups_of_the_command(tmp_path, capsys):
    path = tmp_path / "s.csv"
    rows = (f"{k},{k % 2},{k % 10 / 10},g{k}" for k in range(5000))
    path.write_text("\n".join(["image_id,label,score,race", *rows]))
    assert main(["fairness", str(path), "--group", "race", "--replicates", "10"]) == 2
    assert "5000 groups: are more than" in capsys.readouterr().err


def test_too_many_datasets(tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "MOST_DATASETS", 3)
    path = tmp_path / "s.csv"
    path.write_text("\n".join(["image_id,label,score,dataset", *(f"{k},{k % 2},0.5,d{k}" for k in range(4))]))
    with pytest.raises(DataError, match="4 datasets"):
        read_scores(path)
    assert MOST_DATASETS >= 1000
