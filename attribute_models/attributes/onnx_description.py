"""What a TOML file says of an ONNX classifier of faces: its input, its heads. See docs/attributes.md for an
example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from manifests.containment import inside
from manifests.errors import DataError, MissingError, UsageError
from manifests.text_files import read_toml

Three = tuple[float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputPart(_Part):
    """The one input: square pictures of `size` pixels; values are (pixel / scale - mean) / std, per channel
    in `colour` order.
    """

    size: Annotated[int, Field(ge=8, le=2048)]
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["RGB", "BGR"] = "RGB"
    scale: Annotated[float, Field(gt=0)] = 255.0
    mean: Three = (0.0, 0.0, 0.0)
    std: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ] = (1.0, 1.0, 1.0)


class HeadPart(_Part):
    """One head: its classes, and which columns of which output are theirs.

    output: name of an output; empty: the first. start: first column. activation: what makes probabilities of
    the values; `sigmoid` with `single` (one column, two classes) gives the probability of the second class;
    else each column is taken alone and the row is brought to a sum of 1. `none`: they are probabilities.
    temperature: divides the values first.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    output: str = ""
    start: Annotated[int, Field(ge=0)] = 0
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    single: bool = False

    @model_validator(mode="after")
    def _columns_fit(self) -> HeadPart:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if self.single and (len(self.classes) != 2 or self.activation != "sigmoid"):
            raise ValueError("single = true is for two classes and activation = 'sigmoid'")
        return self

    @property
    def columns(self) -> int:
        """How many columns the head reads."""
        return 1 if self.single else len(self.classes)


class OnnxDescription(_Part):
    """The whole file. `file` is relative to the TOML file. `crop`: side of the aligned crops that are asked
    for.
    """

    name: Annotated[str, Field(min_length=1)]
    file: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    data: str = ""
    crop: Annotated[int, Field(ge=16, le=1024)] = 128
    input: InputPart
    heads: Annotated[dict[str, HeadPart], Field(min_length=1)]


def read_description(path: Path) -> tuple[OnnxDescription, Path]:
    """A description and the path of its ONNX file.

    Raises:
        MissingError: no such TOML or ONNX file. UsageError: not TOML, or keys that are wrong, all of them
            listed.
    """
    if not path.is_file():
        raise MissingError(
            str(path), "is not there", "give the TOML file that describes your ONNX classifier"
        )
    try:
        found = OnnxDescription.model_validate(read_toml(path))
    except DataError as error:
        raise UsageError(error.what, error.why, error.fix) from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg']}" for item in error.errors()]
        raise UsageError(
            str(path), "; ".join(lines), "mend these keys; docs/attributes.md has an example"
        ) from error
    model = inside(path.parent, found.file, links=True)
    if not model.is_file():
        raise MissingError(
            str(model), f"is not there, and {path.name} names it", "put the ONNX file beside its description"
        )
    return found, model
