"""The model as ONNX: takes the table's columns by name, one input each, and needs nothing of ours to run.

Written operator by operator and not by skl2onnx, which takes some 2.5 KB of memory for each node of a tree, where a
usual forest has a million, and renames the inputs.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from offload_worker.handlers.training.encoder import Encoder, WordEncoding
from offload_worker.handlers.training.export_estimators import add_estimator
from offload_worker.handlers.training.graph import TREES_DOMAIN, Graph
from offload_worker.handlers.training.models import Model
from offload_worker.handlers.training.table import Column, NumberColumn

OPERATOR_SETS = {"": 18, TREES_DOMAIN: 3}
IR_VERSION = 8  # of the same time as these operator sets: every runtime since 2023 loads it

HOW_TO_USE = (
    "One input a column, shape (rows, 1): floats, NaN where missing; strings, stripped and '' where missing. "
    "The first output is the prediction; a classifier's second one holds the probabilities, in the order of `classes`."
)


def to_onnx(
    model: Model, encoder: Encoder, columns: Sequence[Column], *, target: str, classes: Sequence[str]
) -> ModelProto:
    """Return `model` with the encoding before it, as a function of `columns`, in that order.

    Its outputs are `label`, strings of shape (rows,), and `probabilities`, 32-bit floats of shape (rows, classes);
    or `prediction`, 64-bit floats of shape (rows,). One that a column is named like has an underscore appended.
    """
    file = _file(model, columns, target, classes)
    graph = Graph(file.graph, taken=[column.name for column in columns])
    computed = add_estimator(graph, model, _add_encoder(graph, encoder))
    outputs = _add_classes(graph, computed, classes) if classes else [_add_number(graph, computed)]
    file.graph.output.extend(outputs)
    return file


def _add_encoder(graph: Graph, encoder: Encoder) -> str:
    parts = [_add_numbers(graph, encoder)] if encoder.numbers else []
    parts += [_add_words(graph, encoding) for encoding in encoder.words]
    return graph.add("Concat", *parts, axis=1)


def _add_numbers(graph: Graph, encoder: Encoder) -> str:
    raw = graph.add("Concat", *encoder.numbers, axis=1)
    numbers = graph.add("Where", graph.add("IsNaN", raw), graph.constant(encoder.medians), raw)
    if encoder.means is None or encoder.scales is None:
        return numbers
    centred = graph.add("Sub", numbers, graph.constant(encoder.means))
    return graph.add("Div", centred, graph.constant(encoder.scales))


def _add_words(graph: Graph, encoding: WordEncoding) -> str:
    rest = len(encoding.words)  # the place of other words; the one after the last where they have no column
    places = graph.add(
        "LabelEncoder",
        encoding.name,
        domain=TREES_DOMAIN,
        keys_strings=encoding.words or ("",),  # the operator wants a key, also where all words are others
        values_int64s=list(range(rest)) or [rest],
        default_int64=rest,
    )
    equal = graph.add("Equal", places, graph.constant(np.arange(encoding.width, dtype=np.int64)))
    return graph.cast(equal, TensorProto.FLOAT)


def _add_classes(graph: Graph, probabilities: str, classes: Sequence[str]) -> list[ValueInfoProto]:
    best = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    label = graph.add("Gather", graph.strings(classes), best, output="label")
    rounded = graph.add("Cast", probabilities, output="probabilities", to=TensorProto.FLOAT)
    return [
        _value(label, TensorProto.STRING, "rows"),
        _value(rounded, TensorProto.FLOAT, "rows", len(classes)),
    ]


def _add_number(graph: Graph, computed: str) -> ValueInfoProto:
    flat = graph.add("Squeeze", computed, graph.constant(np.array([1], np.int64)))
    return _value(graph.add("Identity", flat, output="prediction"), TensorProto.DOUBLE, "rows")


def _value(name: str, kind: int, *shape: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _type(column: Column) -> int:
    return TensorProto.FLOAT if isinstance(column, NumberColumn) else TensorProto.STRING


def _file(model: Model, columns: Sequence[Column], target: str, classes: Sequence[str]) -> ModelProto:
    file = ModelProto(ir_version=IR_VERSION, producer_name="offload", doc_string=HOW_TO_USE)
    file.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in OPERATOR_SETS.items())
    file.graph.name = "offload"
    file.graph.input.extend(_value(column.name, _type(column), "rows", 1) for column in columns)
    metadata = {
        "kind": model.problem.kind,
        "target": target,
        "features": [column.name for column in columns],
        "classes": classes,
        "estimator": model.problem.estimator,
    }
    helper.set_model_props(file, {key: _text(value) for key, value in metadata.items()})
    return file


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
