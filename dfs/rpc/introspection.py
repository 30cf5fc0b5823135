"""What a server says of its own methods: system.listMethods, methodHelp and methodSignature, made from the data classes.

Owns the texts and signatures; dispatch.py calls it. Nothing here carries a call out.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from dfs.core.errors import UnknownMethod
from dfs.core.messages.requests import Request
from dfs.core.plain import answer_type, plain_type, request_parameters

_XML_RPC_NAMES: Final[dict[type, str]] = {
    int: "int",
    bool: "boolean",
    float: "double",
    str: "string",
    bytes: "base64",
    list: "array",
    dict: "struct",
}
SYSTEM_METHODS: Final[dict[str, tuple[str, list[str]]]] = {
    "system.listMethods": ("Return the names of all methods.", ["array"]),
    "system.methodHelp": ("Return what a method does, its parameters and its answer.", ["string", "string"]),
    "system.methodSignature": (
        "Return the signatures of a method: each an array of type names, first that of the answer.",
        ["array", "string"],
    ),
    "system.multicall": (
        "Carry out several calls, each a struct of methodName and params, in their order. The answer has, for each, an "
        "array of its one result, or a struct of faultCode and faultString.",
        ["array", "array"],
    ),
}
"""Name -> help text and signature."""


def list_methods(methods: Mapping[str, type[Request[Any]]]) -> list[str]:
    """Return the names of all methods, sorted."""
    return sorted([*methods, *SYSTEM_METHODS])


def help_text(methods: Mapping[str, type[Request[Any]]], name: str) -> str:
    """Return the docstring of a method's request, and its call in one line. Raises: UnknownMethod."""
    if name in SYSTEM_METHODS:
        return SYSTEM_METHODS[name][0]
    cls = _request_class(methods, name)
    parameters = ", ".join(f"{parameter.name}: {_XML_RPC_NAMES[parameter.plain_type]}" for parameter in request_parameters(cls))
    answer = answer_type(cls)
    kind = _XML_RPC_NAMES[plain_type(answer)]
    return f"{inspect.getdoc(cls)}\n\n{name}({parameters}) -> {kind}: {answer.__name__}"


def signatures(methods: Mapping[str, type[Request[Any]]], name: str) -> list[list[str]]:
    """Return the one signature of a method: type names of answer and parameters. Raises: UnknownMethod."""
    if name in SYSTEM_METHODS:
        return [SYSTEM_METHODS[name][1]]
    cls = _request_class(methods, name)
    kinds = [plain_type(answer_type(cls)), *(parameter.plain_type for parameter in request_parameters(cls))]
    return [[_XML_RPC_NAMES[kind] for kind in kinds]]


def _request_class(methods: Mapping[str, type[Request[Any]]], name: str) -> type[Request[Any]]:
    cls = methods.get(name)
    if cls is None:
        raise UnknownMethod(name[:100])
    return cls
