"""Liquid templates, within limits: they reach nothing but the data they are given."""

from collections.abc import Mapping
from typing import Any

from liquid import Environment, StrictUndefined
from liquid.exceptions import LiquidError, ResourceLimitError

from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted


class _Bounded(Environment):
    loop_iteration_limit = 20_000
    output_stream_limit = 2_000_000
    local_namespace_limit = 2_000_000
    context_depth_limit = 20


def rendered(field: str, template: str, data: Mapping[str, Any], *, escaped: bool) -> str:
    """Return what a template makes of the data, as HTML where it is `escaped`; raises `JobRejected`."""
    environment = _Bounded(undefined=StrictUndefined, autoescape=escaped)
    try:
        return str(environment.from_string(template).render(**data))
    except ResourceLimitError:
        raise JobRejected(f"The template in `{field}` takes too much: its loops, or what it writes.") from None
    except (LiquidError, RecursionError, TypeError, ValueError, ArithmeticError) as error:
        raise JobRejected(f"The template in `{field}` cannot be rendered: {_said(error)}.") from None


def _said(error: Exception) -> str:
    words = getattr(error, "message", None) or str(error) or type(error).__name__
    return quoted(" ".join(str(words).split()), most=200)
