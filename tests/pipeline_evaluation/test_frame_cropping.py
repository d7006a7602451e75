"""Faces out of frames: where the square lies, which face is taken, and what happens without one."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from attribute_models.detection.boxes import DetectedFace
from manifests import read_manifest
from manifests.adapters.base import SourceImage
from manifests.errors import DataError, UsageError
from manifests.images import read_image
from pipeline.cli import build
from pipeline.faces.frame_crops import FrameCropper, square_about

FIVE = np.array([[12, 15], [24, 15], [18, 20], [14, 25], [22, 25]], np.float32)


@given(
    st.integers(8, 300),
    st.integers(8, 300),
    st.floats(-50, 300),
    st.floats(-50, 300),
    st.floats(1, 400),
    st.floats(1, 400),
    st.floats(1, 4),
)
def test_square_lies_in_the_frame(height, width, x, y, w, h, margin):
    left, top, side = square_about(np.array([x, y, x + w, y + h]), margin, height, width)
    assert 0 <= left <= width - side
    assert 0 <= top <= height - side
    assert 1 <= side <= min(height, width)


def test_square_is_centred_and_as_wide_as_asked():
    assert square_about(np.array([100, 80, 140, 130]), 1.3, 400, 400) == (88, 72, 65)


class Faces:
    """A detector that gives the boxes it is told, in turn."""

    def __init__(self, *frames):
        self.frames, self.sizes = list(frames), []

    def detect(self, image):
        self.sizes.append(image.shape)
        return [DetectedFace(np.array(box, np.float32), 0.99, FIVE) for box in self.frames.pop(0)]


def cropper(*frames, **params):
    out = FrameCropper(**params)
    out._detector = Faces(*frames)
    return out


def frame(video, width=200, whole=True):
    image = np.zeros((100, width, 3), np.uint8)
    image[..., 0] = np.arange(width) % 256
    return image, SourceImage(key=f"{video}/1", video_id=video, whole_frame=whole)


LEFT, RIGHT, LARGE = (10, 10, 30, 30), (140, 40, 160, 60), (120, 20, 170, 70)


def middle(crop):
    return int(crop[0, crop.shape[1] // 2, 0])


def test_the_largest_face_then_the_one_that_goes_on():
    take = cropper([LEFT, RIGHT], [LARGE, (14, 12, 34, 32)], [LARGE, LEFT])
    assert abs(middle(take(*frame("a"))) - 20) <= 1  # equal areas: the first, best score first
    assert abs(middle(take(*frame("a"))) - 24) <= 1  # not the larger one of another place
    assert abs(middle(take(*frame("b"))) - 145) <= 1  # another video begins anew


def test_no_face_is_a_reason_and_the_next_frame_goes_on():
    take = cropper([LEFT], [], [LEFT])
    take(*frame("a"))
    with pytest.raises(DataError, match="no face"):
        take(*frame("a"))
    assert take(*frame("a")).shape == (26, 26, 3)


def test_crops_that_are_there_already_are_left_alone():
    image, item = frame("a", whole=False)
    assert cropper()(image, item) is image
    assert cropper([LEFT], every=True)(image, item).shape == (26, 26, 3)


def test_large_frames_are_searched_small_and_cropped_whole():
    take = cropper([(64, 8, 96, 40)])
    image = np.zeros((200, 1280, 3), np.uint8)
    assert take(image, SourceImage(key="a", whole_frame=True)).shape == (83, 83, 3)
    assert take._detector.sizes == [(100, 640, 3)]


@pytest.mark.parametrize("params", [{"style": "round"}, {"margin": 0.5}, {"margin": 9}])
def test_unknown_style_or_margin(params):
    with pytest.raises(UsageError, match="crop"):
        FrameCropper(**params)


@pytest.mark.parametrize("style", ["box", "aligned"])
def test_faces_of_a_real_video_and_a_video_without_any(tmp_path, style):
    """The whole command: a generated face in a larger frame is cut out; a video of noise is named, and the
    rest is there.
    """
    av = pytest.importorskip("av")
    from generators import load_generator
    from generators.sampling import draw_z, map_latents, synthesize
    from manifests.images import resize

    generator = load_generator("starter64")
    face = resize(
        synthesize(generator, map_latents(generator, draw_z(1, [("face", 3)], generator.z_dim), psi=0.6))[0],
        112,
    )
    for name, there in (("real/a.mp4", True), ("fake/empty.mp4", False)):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.bit_rate = 320, 240, 4_000_000
            for _ in range(3):
                picture = np.full((240, 320, 3), 90, np.uint8)
                if there:
                    picture[40:152, 150:262] = face
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    (tmp_path / "videos" / "List_of_testing_videos.txt").write_text("1 Celeb-real/id0_0000.mp4\n")
    for folder, file in (
        ("Celeb-real", "real/a.mp4"),
        ("Celeb-synthesis", "fake/empty.mp4"),
        ("YouTube-real", None),
    ):
        (tmp_path / "videos" / folder).mkdir()
        if file:
            name = "id0_0000.mp4" if folder == "Celeb-real" else "id0_id1_0000.mp4"
            (tmp_path / "videos" / file).rename(tmp_path / "videos" / folder / name)
    arguments = [
        "import",
        "celebdf",
        str(tmp_path / "videos"),
        "--out",
        str(tmp_path / "out"),
        "--frames",
        "2",
        "--crop",
        style,
        "--size",
        "96",
        "--json",
    ]
    result = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    value = json.loads(result.stdout)
    assert (value["images"], value["skipped"]) == (2, 2)
    reasons = {row[1] for row in csv.reader((tmp_path / "out" / "skipped.csv").read_text().splitlines())}
    assert reasons == {"reason", "no face was found in the frame"}
    for row in read_manifest(tmp_path / "out").to_pylist():
        crop = read_image(tmp_path / "out" / row["path"])
        assert crop.shape == (96, 96, 3)
        assert crop.std() > 25  # the face fills it, not the grey of the frame
        assert (np.abs(crop.astype(int) - 90).max(2) < 12).mean() < 0.5  # .84 of the whole frame


@pytest.mark.parametrize("style", ["box", "aligned"])
def test_points_that_cannot_be_aligned_are_no_face(style):
    take = FrameCropper(style=style)
    take._faces = lambda image: [
        DetectedFace(np.array(LEFT, np.float32), 0.99, np.full((5, 2), 7, np.float32))
    ]
    with pytest.raises(DataError, match="no face"):
        take(*frame("a"))


def test_a_face_much_larger_than_its_crop_is_drawn():
    take = FrameCropper(style="aligned", size=32)
    take._faces = lambda image: [DetectedFace(np.array([0, 0, 600, 600], np.float32), 0.99, 30 * FIVE)]
    assert take(np.zeros((1200, 1200, 3), np.uint8), SourceImage(key="a", whole_frame=True)).shape == (
        32,
        32,
        3,
    )
