"""Opens the pairs of a dataset in FiftyOne: python open_in_fiftyone.py [--port N] [--no-browser].

Needs FiftyOne alone, so it runs in whatever environment has it. A pair is a group with one slice for the real
image and one per method; masks are heatmaps (how much each pixel was changed); scores, cells and embeddings
are fields.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")


def build(folder: Path, name: str | None = None) -> Any:
    """The dataset of `groups.json` in `folder`, not persistent."""
    import fiftyone as fo

    content = json.loads((folder / "groups.json").read_text(encoding="utf-8"))
    root = Path(content["root"])
    dataset = fo.Dataset(name)
    dataset.add_group_field("group", default=content["default_slice"])
    groups: dict[str, Any] = {}
    samples = []
    for one in content["samples"]:
        group = groups.setdefault(one["group"], fo.Group())
        sample = fo.Sample(
            filepath=str(root / one["path"]), group=group.element(one["slice"]), **one["fields"]
        )
        sample["pair"] = one["group"]
        if one["mask"] is not None:
            sample["changed"] = fo.Heatmap(map_path=str(root / one["mask"]), range=[0, 255])
        if one["score"] is not None:
            sample["score"] = one["score"]
            sample["prediction"] = fo.Classification(
                label=one["fields"].get("outcome"), confidence=one["score"]
            )
        if one["embedding"] is not None:
            sample["embedding"] = one["embedding"]
        samples.append(sample)
    dataset.add_samples(samples, progress=False)
    return dataset


def main() -> None:
    """Build the dataset and show it until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5151)
    parser.add_argument("--no-browser", action="store_true")
    arguments = parser.parse_args()
    import fiftyone as fo

    dataset = build(Path(__file__).parent)
    session = fo.launch_app(dataset, port=arguments.port, address="localhost", auto=not arguments.no_browser)
    print(f"FiftyOne: http://localhost:{arguments.port}", flush=True)
    session.wait(-1)


if __name__ == "__main__":
    main()
