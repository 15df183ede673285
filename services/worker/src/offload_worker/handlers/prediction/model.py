"""The ONNX file as a model that can be asked; whatever is wrong with it is the client's to know."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted

#: In memory a model takes a few times as much.
MOST_MODEL_MB = 256
#: Of models that stay loaded for the next job of this process, together.
MOST_KEPT_MB = 32
MB = 1024 * 1024

#: The operators of the ONNX standard, and the runtime's own.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run, and what its metadata says of it."""

    session: onnxruntime.InferenceSession
    size: int  # of its file, in bytes
    target: str | None = None
    features: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None


@dataclass
class ModelCache:
    """The models used last, as many as there is room for; by digest, as ids name files that others may not see."""

    most_bytes: int = MOST_KEPT_MB * MB
    _models: "OrderedDict[str, LoadedModel]" = field(default_factory=OrderedDict)

    def get(self, digest: str) -> LoadedModel | None:
        """Return a model that was put here, if it still is."""
        if digest in self._models:
            self._models.move_to_end(digest)
        return self._models.get(digest)

    def put(self, digest: str, model: LoadedModel) -> None:
        """Keep a model, and let go of those not used for longest."""
        if model.size > self.most_bytes:
            return
        self._models[digest] = model
        while sum(each.size for each in self._models.values()) > self.most_bytes:
            self._models.popitem(last=False)


def load_model(path: Path, cache: ModelCache) -> tuple[LoadedModel, bool]:
    """Return the model in a file, and whether it was loaded already; raises `JobRejected` for one that cannot be run.

    What the file names is never opened, and no code in it is ever run but the operators of the runtime.
    """
    if path.stat().st_size > MOST_MODEL_MB * MB:
        raise JobRejected(f"The model is larger than {MOST_MODEL_MB} MB, the most taken.")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if known := cache.get(digest):
        return known, True
    model = _load(content)
    cache.put(digest, model)
    return model, False


def _load(content: bytes) -> LoadedModel:
    try:
        proto = onnx.load_model_from_string(content)
    except (DecodeError, UnicodeDecodeError):
        raise JobRejected("The model is not an ONNX file, or is not whole.") from None
    if not proto.graph.node:
        raise JobRejected("The model is not an ONNX file, or has no operators.")
    _check(proto)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    del proto
    return LoadedModel(
        session=_session(content),
        size=len(content),
        target=metadata.get("target"),
        features=_names(metadata.get("features")),
        classes=_names(metadata.get("classes")),
    )


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it has to say, it raises
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the runtime has a kind of error for each thing wrong with a file
        raise JobRejected(f"The model cannot be loaded: {said(error)}") from None


def said(error: Exception) -> str:
    """Return what the runtime says, in one short line."""
    words = " ".join(str(error).split())
    return quoted(words.partition(" : ")[2] or words, most=300)


def _names(text: str | None) -> tuple[str, ...] | None:
    try:
        return msgspec.json.decode(text, type=tuple[str, ...]) or None if text else None
    except msgspec.MsgspecError:  # somebody else's key of that name
        return None


def _check(proto: onnx.ModelProto) -> None:
    for used in (*proto.opset_import, *(each for function in proto.functions for each in function.opset_import)):
        if used.domain not in DOMAINS and used.domain not in {function.domain for function in proto.functions}:
            raise JobRejected(f"The model uses operators of {quoted(used.domain)}, which are not part of ONNX.")
    graphs = [proto.graph, *(each for info in proto.training_info for each in (info.initialization, info.algorithm))]
    nodes = [node for function in proto.functions for node in function.node]
    for tensor in _tensors(graphs, nodes):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise JobRejected(
                f"The model keeps {quoted(tensor.name)} in another file; save it as one file, with the data inside."
            )


def _tensors(graphs: Sequence[Any], nodes: Sequence[Any]) -> Iterator[Any]:
    """Yield every tensor there is, also in graphs within graphs; not by recursion, as a file may nest them deeply."""
    graphs, nodes = list(graphs), list(nodes)
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
        else:
            for attribute in nodes.pop().attribute:
                yield from (attribute.t, *attribute.tensors)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)
                graphs.extend((attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs)
