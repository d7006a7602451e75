"""ONNX models: weights beside the model count, loops end, functions do not multiply, and a run can be
stopped.
"""

import _thread
import os
import signal
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from attribute_models.attributes.onnx_classifier import OnnxClassifier
from attribute_models.detection.insightface_pack import load_task
from generators.forgeries import onnx_parts
from manifests.atomic import digest_file
from manifests.errors import DataError, MissingError
from nn import onnx_files
from nn.onnx_files import check_model, digest_model, open_session, run_session

FLOAT = [1]
X = np.zeros(1, np.float32)


def value(name, kind=TensorProto.FLOAT, shape=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes, constants=(), functions=()):
    stored = [numpy_helper.from_array(array, name) for name, array in dict(constants).items()]
    made = helper.make_graph(nodes, "g", [value("x")], [value("y")], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, functions=list(functions))


def body(inner=()):
    nodes = [*inner, helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])]
    inputs = [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v")]
    return helper.make_graph(nodes, "body", inputs, [value("c2", TensorProto.BOOL, []), value("v2")])


def loop(rounds, inner=()):
    node = helper.make_node("Loop", ["rounds", "go", "x"], ["y"], body=body(inner))
    return graph([node], {"rounds": np.array(rounds, np.int64), "go": np.array(True)})


def nested(outer, inner):
    node = helper.make_node("Loop", ["inner", "go", "v"], ["unused"], body=body())
    made = loop(outer, [node])
    made.graph.initializer.append(numpy_helper.from_array(np.array(inner, np.int64), "inner"))
    return made


def doubling(depth):
    """Functions each of which calls the next one twice."""
    functions = []
    for k in range(depth):
        called = f"f{k + 1}" if k + 1 < depth else "Identity"
        domain = "own" if k + 1 < depth else ""
        nodes = [
            helper.make_node(called, ["a"], ["b"], domain=domain),
            helper.make_node(called, ["b"], ["c"], domain=domain),
        ]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{k}", ["a"], ["c"], nodes, opsets))
    return graph([helper.make_node("f0", ["x"], ["y"], domain="own")], functions=functions)


def calling_itself():
    nodes = [helper.make_node("f0", ["a"], ["c"], domain="own")]
    one = helper.make_function("own", "f0", ["a"], ["c"], nodes, [helper.make_opsetid("own", 1)])
    return graph([helper.make_node("f0", ["x"], ["y"], domain="own")], functions=[one])


def unstored():
    made = graph([helper.make_node("Add", ["x", "w"], ["y"])], {"w": X})
    made.graph.initializer[0].dims[:] = [1 << 40]
    return made


def unnumbered_loop():
    node = helper.make_node("Loop", ["", "go", "x"], ["y"], body=body())
    return graph([node], {"go": np.array(True)})


def enormous():
    return graph([helper.make_node("Expand", ["x", "s"], ["y"])], {"s": np.array([1 << 40], np.int64)})


HOSTILE = {
    "a loop without an end": (lambda: loop(2**62), "rounds"),
    "a loop that nothing counts": (unnumbered_loop, "rounds"),
    "loops in loops": (lambda: nested(1000, 1000), "rounds"),
    "functions that double": (lambda: doubling(40), "operators"),
    "a function that calls itself": (calling_itself, "calls itself"),
    "a tensor that is not stored": (unstored, "bytes"),
    "a tensor of a tebivalue": (enormous, "Expand"),
}
FINE = {
    "ten rounds": lambda: loop(10),
    "loops in loops": lambda: nested(10, 10),
    "functions": lambda: doubling(5),
}


def write(made, path):
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_graph_without_an_end_is_refused_by_every_reader(tmp_path, name):
    make, words = HOSTILE[name]
    path = write(make(), tmp_path / "m.onnx")
    (tmp_path / "d.toml").write_text(
        'name = "n"\nfile = "m.onnx"\nlicence = "x"\n[input]\nsize = 8\n[heads.race]\nclasses = ["A", "B"]\n'
    )
    readers = (
        check_model,
        digest_model,
        open_session,
        lambda path: onnx_parts.session(str(path)),
        lambda path: onnx_parts.last_initializer(str(path)),
        lambda path: OnnxClassifier(tmp_path / "d.toml"),
    )
    for read in readers:
        with pytest.raises(DataError, match=words):
            read(path)


def test_a_pack_is_looked_at_before_it_is_run(tmp_path):
    pytest.importorskip("insightface")
    write(loop(2**62), tmp_path / "m.onnx")
    with pytest.raises(DataError, match="rounds"):
        load_task(str(tmp_path), "detection")


@pytest.mark.parametrize("name", FINE)
def test_a_graph_with_an_end_runs(tmp_path, name):
    path = write(FINE[name](), tmp_path / "m.onnx")
    assert run_session(open_session(path), None, {"x": X}, path)[0] == X
    assert digest_model(path) == digest_file(path)


@pytest.fixture
def beside(tmp_path):
    """A model whose weights lie in w.bin."""
    made = graph([helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.ones(1, np.float32)})
    onnx.save_model(made, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    return tmp_path / "m.onnx"


def test_weights_beside_a_model_enter_its_digest(beside):
    weights = beside.parent / "w.bin"
    assert check_model(beside) == (weights,)
    before, parts = digest_model(beside), onnx_parts.digests({"model": str(beside)})
    weights.write_bytes(np.full(1, 7, np.float32).tobytes())
    after = weights.stat().st_mtime_ns + 1_000_000
    os.utime(weights, ns=(after, after))
    assert digest_model(beside) != before
    assert onnx_parts.digests({"model": str(beside)}) != parts
    assert onnx_parts.run(str(beside), {"0": X})[0] == 7
    weights.unlink()
    with pytest.raises(MissingError, match=r"w\.bin"):
        open_session(beside)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/passwd", "link.bin", "", ".", "a\0b"])
def test_weights_elsewhere_are_refused(beside, place):
    outside = beside.parent.parent / "secret.bin"
    outside.write_bytes(b"\0" * 4)
    (beside.parent / "link.bin").symlink_to(outside)
    made = onnx.load_model(beside, load_external_data=False)
    for entry in made.graph.initializer[0].external_data:
        entry.value = place if entry.key == "location" else entry.value
    with pytest.raises(DataError, match="outside its folder"):
        check_model(write(made, beside.parent / "n.onnx"))


def test_weights_beyond_their_file_are_refused(beside):
    made = onnx.load_model(beside, load_external_data=False)
    for entry in made.graph.initializer[0].external_data:
        entry.value = "999" if entry.key == "offset" else entry.value
    with pytest.raises(DataError, match="beyond the end"):
        check_model(write(made, beside.parent / "n.onnx"))


def endless(tmp_path):
    """A session of a loop that onnxruntime would follow for ever: made without the checks."""
    import onnxruntime

    path = write(loop(2**62), tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return path, onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def test_a_run_ends_after_its_time(tmp_path):
    path, session = endless(tmp_path)
    with pytest.raises(DataError, match="longer than"):
        run_session(session, None, {"x": X}, path, seconds=0.05)


def test_a_run_ends_at_an_interruption(tmp_path):
    """Whatever SIGINT does here: a shell lets what it starts in the background ignore it. The run itself has
    ended, too.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupted(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted(tmp_path):
    path, session = endless(tmp_path)
    running = set(threading.enumerate())
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_session(session, None, {"x": X}, path, seconds=60)
    assert time.monotonic() - start < 50
    timer.join()
    for thread in set(threading.enumerate()) - running:
        thread.join(5)
    assert set(threading.enumerate()) - running == set()
    assert onnx_files.SECONDS > 60
