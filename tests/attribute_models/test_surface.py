from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

import attribute_models
from attribute_models.quality import brightness, sharpness
from attribute_models.registry import ATTRIBUTE_MODELS
from manifests.errors import UsageError


def test_importing_the_package_is_cheap():
    code = (
        "import sys, attribute_models, attribute_models.registry as m; m.ATTRIBUTE_MODELS.entries();print([n"
        " for n in ('torch', 'timm', 'cv2', 'scipy', 'sklearn', 'dlib', 'onnxruntime', 'insightface') if n in"
        " sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_surface():
    for name in attribute_models.__all__:
        assert callable(getattr(attribute_models, name))
        assert name in dir(attribute_models)
    with pytest.raises(AttributeError, match="load_everything"):
        _ = attribute_models.load_everything


def test_every_registered_model_says_what_it_is():
    families = {entry.name: entry.family for entry in ATTRIBUTE_MODELS.entries()}
    assert families == {
        "mtcnn": "detection",
        "fairforge-small": "attributes",
        "fairforge-mesh148": "landmarks",
        "dlib-resnet": "identity",
        "fairface-resnet34": "attributes",
        "onnx-classifier": "attributes",
        "inception-resnet-v1": "identity",
        "insightface-scrfd": "detection",
        "insightface-arcface": "identity",
        "insightface-genderage": "attributes",
    }
    for entry in ATTRIBUTE_MODELS.entries():
        assert entry.summary
        assert entry.licence
        assert entry.paper


def test_a_model_of_another_family_is_refused():
    with pytest.raises(UsageError, match="is for detection, not for attributes") as caught:
        attribute_models.load_attribute_model("mtcnn")
    assert "fairforge-small" in caught.value.fix


def test_sharpness_is_the_variance_of_the_laplacian():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    padded = np.pad(grey, 1, mode="reflect")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    assert sharpness(image) == pytest.approx(laplacian.var())
    assert sharpness(cv2.GaussianBlur(image, (0, 0), 2)) < sharpness(image) / 20


def test_brightness_is_the_mean_luma():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (10, 200, 30)
    assert brightness(image) == pytest.approx((0.299 * 10 + 0.587 * 200 + 0.114 * 30) / 2, abs=0.5)
    with pytest.raises(UsageError):
        brightness(np.zeros((0, 4, 3), np.uint8))
