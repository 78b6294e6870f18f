"""Half of LanceDB's import time goes into a REST client that only remote catalogs use: it is put off until it is called.

Importing this module before lancedb is enough. A class of the client that is called after all loads the real one. Its
exceptions are real from the start, since `except` has to know them.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_CLIENT = "lance_namespace_urllib3_client."
_DEFERRED = ("api", "models", "api_client", "configuration")  # of its modules, the slow ones


class _Deferred(MetaPathFinder, Loader):
    """Finds the client's modules and makes stand-ins for them."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """A stand-in for a module of the client, nothing for any other."""
        first, _, below = fullname.removeprefix(_CLIENT).partition(".")
        if not fullname.startswith(_CLIENT) or first not in _DEFERRED or (first == "api" and not below):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == _CLIENT + "models")

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A module whose every class is a stand-in."""
        module = _StandIn(spec.name)
        module.__file__ = spec.origin
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs until a class is called."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__

        def new(_: type, *args: Any, **kwargs: Any) -> Any:
            return getattr(_load(module), name)(*args, **kwargs)

        stand_in = type(name, (), {"__new__": new})  # a class, since annotations join it with `|`
        setattr(self, name, stand_in)
        return stand_in


def _load(name: str) -> ModuleType:
    """Import the real module, and the real ones of all that stand in, in their place."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for held, module in list(sys.modules.items()):
        if isinstance(module, _StandIn):
            del sys.modules[held]
    return importlib.import_module(name)


for _name in ("LANCE_LOG", "LANCEDB_LOG"):
    os.environ.setdefault(_name, "error")  # its warnings are for developers, our stderr is for users
_finder = _Deferred()
if "lancedb" not in sys.modules:
    sys.meta_path.insert(0, _finder)
    importlib.import_module("lancedb")
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
