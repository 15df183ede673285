"""An ONNX graph in the making: operators and constants, each with a name that no column has."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

TREES_DOMAIN = "ai.onnx.ml"


class Graph:
    """Writes operators, in the order in which they compute, right into a file's graph: a forest is never copied."""

    def __init__(self, proto: GraphProto, taken: Collection[str]) -> None:
        self._proto = proto
        self._taken = set(taken)

    @property
    def last_node(self) -> NodeProto:
        """The operator added last, to give it attributes in place."""
        node: NodeProto = self._proto.node[-1]
        return node

    def add(self, operator: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add an operator and return the name of its output; of TopK's two that of the places."""
        name = self.free_name(output or f"offload/{len(self._proto.node)}/{operator}")
        outputs = [self.free_name(f"{name}/values"), name] if operator == "TopK" else [name]
        self._proto.node.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant of numbers and return its name."""
        name = self._constant_name()
        self._proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def strings(self, values: Collection[str]) -> str:
        """Add a constant of strings, of one dimension, and return its name."""
        name = self._constant_name()
        tensor = self._proto.initializer.add(name=name, data_type=TensorProto.STRING, dims=[len(values)])
        tensor.string_data.extend(value.encode() for value in values)
        return name

    def cast(self, tensor: str, to: int) -> str:
        """Add a cast to one of `TensorProto`'s types and return its output."""
        return self.add("Cast", tensor, to=to)

    def free_name(self, wish: str) -> str:
        """Return `wish`, with underscores after it when a column or another operator has that name."""
        while wish in self._taken:
            wish += "_"
        self._taken.add(wish)
        return wish

    def _constant_name(self) -> str:
        return self.free_name(f"offload/constant/{len(self._proto.initializer)}")
