"""Writing snapshots in the official format with the real `pickle`, and pickles that call what they like."""

import pickle
import sys
import types
from collections import OrderedDict

import numpy as np


class Call:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __call__(self, *args):
        """`pickle` writes a call of a call only where the inner one looks callable."""
        raise AssertionError("never called")

    def __reduce__(self):
        return self.call


def install(monkeypatch, name, **members):
    """A module `name` that exists only in this test, whose members pickle under its name."""
    module = types.ModuleType(name)
    for key, value in members.items():
        value.__module__, value.__qualname__, value.__name__ = name, key, key
        setattr(module, key, value)
    parent, _, last = name.rpartition(".")
    if parent:
        if parent not in sys.modules:
            monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
        monkeypatch.setattr(sys.modules[parent], last, module, raising=False)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def persistence_writer(monkeypatch):
    """`persistent(class_name, state, source="", kind="class")`, which pickles as the official loader's
    global.
    """

    def reconstruct(meta):
        raise AssertionError("never called")

    name = "_reconstruct_persistent_obj"
    made = install(monkeypatch, "torch_utils.persistence", **{name: reconstruct})

    def persistent(class_name, state, source="", kind="class"):
        meta = {"type": kind, "version": 6, "module_src": source, "class_name": class_name, "state": state}
        return Call(getattr(made, name), meta)

    return persistent


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def module(persistent, class_name="Module", *, parameters=None, buffers=None, modules=None, **state):
    groups = {"_parameters": parameters, "_buffers": buffers, "_modules": modules}
    return persistent(class_name, {**{k: OrderedDict(v or {}) for k, v in groups.items()}, **state})


def stored(persistent, network, class_name, **state):
    """A torch module as the official format has it, all children included."""
    return module(
        persistent,
        class_name,
        parameters=network._parameters,
        buffers=network._buffers,
        modules={
            name: stored(persistent, child, type(child).__name__) for name, child in network._modules.items()
        },
        training=False,
        **state,
    )


def generator_kwargs(generator, wrap=dict):
    """A generator's official init kwargs; `wrap` makes each mapping (EasyDict, say), numbers are numpy's."""
    values = generator.config.model_dump()
    values["z_dim"], values["w_dim"] = np.int64(values["z_dim"]), np.int32(values["w_dim"])
    for part in ("mapping_kwargs", "synthesis_kwargs"):
        values[part] = wrap({key: value for key, value in values[part].items() if value is not None})
    return wrap(values)
