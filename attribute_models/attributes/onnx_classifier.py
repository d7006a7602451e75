"""Any ONNX classifier of faces, as a TOML file describes it, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from attribute_models.attributes.classifier import FaceClassifier, Probabilities
from attribute_models.attributes.onnx_description import HeadPart, read_description
from attribute_models.batching import ROWS, check_images
from attribute_models.registry import ATTRIBUTE_MODELS, FileParams
from manifests.atomic import digest_file, digest_value
from manifests.errors import DataError, UsageError
from manifests.registry import Need
from manifests.weights import Weight
from nn.onnx_files import digest_model, open_session, run_session

MOST_ROWS = 1024
"""Pictures that a model with a fixed batch may want at once."""


class OnnxClassifier(FaceClassifier):
    """A described model. Its digest is of both files, so labels say which description made them.

    Pictures go through one by one, or `ROWS` at a time where the model's batch is free; a row depends on its
    picture alone.

    Raises:
        MissingError: a file is not there. UsageError: the description is wrong, or does not fit the model.
        DataError: the file is no ONNX model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description, model = read_description(path)
        self._session = open_session(model)
        self.crop = self.description.crop
        self.classes = {name: head.classes for name, head in self.description.heads.items()}
        digest = digest_value({"description": digest_file(path), "model": digest_model(model)})
        self.weight = Weight(
            self.description.name,
            model,
            digest,
            "attributes",
            self.description.licence,
            self.description.data,
        )
        self._check_input()
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._check_outputs(self._run(np.zeros((1, 8, 8, 3), np.uint8)))

    def _wrong(self, why: str) -> UsageError:
        return UsageError(str(self.path), why, "let the description say what the model has")

    def _check_input(self) -> None:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise self._wrong(
                f"the model takes {[(i.name, i.type, i.shape) for i in inputs]}, not one float32 tensor of 4"
                " axes"
            )
        size, batch = self.description.input.size, inputs[0].shape[0]
        wanted = [3, size, size] if self.description.input.layout == "NCHW" else [size, size, 3]
        if any(
            isinstance(have, int) and have != want
            for have, want in zip(inputs[0].shape[1:], wanted, strict=True)
        ):
            raise self._wrong(
                f"says {self.description.input.layout} at {size} px, the model takes {inputs[0].shape}"
            )
        self._name, self._rows = inputs[0].name, batch if isinstance(batch, int) else ROWS
        if not 1 <= self._rows <= MOST_ROWS:
            raise self._wrong(f"the model takes {self._rows} pictures at once, not 1 to {MOST_ROWS}")

    def _check_outputs(self, found: dict[str, npt.NDArray[np.float32]]) -> None:
        for name, head in self.description.heads.items():
            output = head.output or self._outputs[0]
            if output not in found:
                raise self._wrong(
                    f"heads.{name}.output {output!r} is not of the model (it has {', '.join(self._outputs)})"
                )
            width = found[output].shape[1]
            if head.start + head.columns > width:
                raise self._wrong(
                    f"heads.{name} wants columns {head.start} to {head.start + head.columns - 1}, "
                    f"{output!r} has {width}"
                )

    def _tensor(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        from attribute_models.networks import prepare

        given = self.description.input
        x = (prepare(images, given.size).numpy() + 1) * 127.5
        if given.colour == "BGR":
            x = x[:, ::-1]
        mean, std = (np.asarray(values, np.float32).reshape(1, 3, 1, 1) for values in (given.mean, given.std))
        x = (x / np.float32(given.scale) - mean) / std
        return np.ascontiguousarray(x if given.layout == "NCHW" else x.transpose(0, 2, 3, 1), np.float32)

    def _run(self, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Every output, float32 [N, columns]."""
        parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in self._outputs}
        for start in range(0, len(images), self._rows):
            rows = images[start : start + self._rows]
            full = np.concatenate([rows, np.repeat(rows[-1:], self._rows - len(rows), axis=0)])
            out = run_session(self._session, None, {self._name: self._tensor(full)}, self.weight.path)
            for name, found in zip(self._outputs, out, strict=True):
                value = np.asarray(found, np.float32)
                if value.ndim < 2 or len(value) != self._rows:
                    raise self._wrong(
                        f"output {name!r} is {list(value.shape)} for {self._rows} pictures, not a row for"
                        " each"
                    )
                parts[name].append(value.reshape(self._rows, -1)[: len(rows)])
        return {name: np.concatenate(values) for name, values in parts.items()}

    def predict(self, images: npt.NDArray[np.uint8]) -> dict[str, Probabilities]:
        """Probabilities of every head; see `FaceClassifier.predict`.

        Raises:
            UsageError: images of another type or shape. DataError: outputs that are no numbers, or no
                probabilities.
        """
        check_images(images)
        if not len(images):
            return {name: np.zeros((0, len(names)), np.float32) for name, names in self.classes.items()}
        found = self._run(images)
        return {
            name: self._head(name, head, found[head.output or self._outputs[0]])
            for name, head in self.description.heads.items()
        }

    def _head(self, name: str, head: HeadPart, values: npt.NDArray[np.float32]) -> Probabilities:
        x = values[:, head.start : head.start + head.columns].astype(np.float64)
        if not np.isfinite(x).all():
            raise DataError(
                str(self.weight.path),
                f"head {name!r} gave values that are no numbers",
                "check mean, std and scale",
            )
        if head.activation == "none":
            if (x < -1e-3).any() or np.abs(x.sum(1) - 1).max() > 1e-2:
                raise DataError(
                    str(self.weight.path), f"head {name!r} gave no probabilities", "set its activation"
                )
            p = x.clip(0)
        elif head.activation == "softmax":
            p = np.exp((x - x.max(1, keepdims=True)) / head.temperature)
        else:
            p = 1 / (1 + np.exp(-np.clip(x / head.temperature, -500, 500)))
            p = np.hstack([1 - p, p]) if head.single else np.maximum(p, 1e-12)
        return (p / p.sum(1, keepdims=True)).astype(np.float32)


@ATTRIBUTE_MODELS.register(
    "onnx-classifier",
    family="attributes",
    params=FileParams,
    needs=(Need("onnxruntime", "onnx"), Need("onnx", "onnx")),
    licence="the model's own",
    paper="ONNX, onnx.ai (the file format)",
)
def onnx_classifier(params: FileParams) -> OnnxClassifier:
    """Any ONNX classifier of aligned faces, described by a small TOML file: input, heads, class names,
    licence.
    """
    if not params.file:
        raise UsageError(
            "onnx-classifier",
            "needs the TOML file that describes the model",
            "give it as --model DESCRIPTION.toml",
        )
    return OnnxClassifier(Path(params.file))
