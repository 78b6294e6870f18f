"""Notes which of some functions ran and which of some files were opened; copied as `sitecustomize.py` beside `wanted.json`.

It is loaded by every Python process of a server that is started for this alone and never timed. It imports the standard library
only, notes each thing once, and must never break the server.
"""

import json
import os
import sys
import threading

_place = os.path.dirname(os.path.abspath(__file__))
_lock = threading.Lock()
_noted: set[str] = set()


def _note(what: str) -> None:
    with _lock:
        if what in _noted:
            return
        _noted.add(what)
    descriptor = os.open(os.path.join(_place, "hits"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, f"{what}\n".encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)


def _start() -> None:
    with open(os.path.join(_place, "wanted.json"), encoding="utf-8") as file:
        wanted = json.load(file)
    functions = {path: frozenset(lines) for path, lines in wanted["functions"].items()}
    files = frozenset(wanted["files"])

    def ran(code: object) -> None:
        lines = functions.get(code.co_filename)  # type: ignore[attr-defined]
        if lines is not None:
            line = 0 if code.co_name == "<module>" else code.co_firstlineno  # type: ignore[attr-defined]
            if line in lines:
                _note(f"{code.co_filename}:{line}")  # type: ignore[attr-defined]

    if hasattr(sys, "monitoring"):
        events = sys.monitoring
        events.use_tool_id(4, "prlore")

        def started(code: object, offset: int) -> object:
            ran(code)
            return events.DISABLE

        events.register_callback(4, events.events.PY_START, started)
        events.set_events(4, events.events.PY_START)
    elif functions:

        def called(frame: object, event: str, argument: object) -> None:
            if event == "call":
                ran(frame.f_code)  # type: ignore[attr-defined]

        threading.setprofile(called)
        sys.setprofile(called)
    if files:

        def opened(event: str, arguments: tuple[object, ...]) -> None:
            if event == "open" and isinstance(arguments[0], str) and os.path.abspath(arguments[0]) in files:
                _note(f"{os.path.abspath(arguments[0])}:0")

        sys.addaudithook(opened)


if __name__ == "sitecustomize":
    try:
        _start()
    except Exception as exc:
        sys.stderr.write(f"nothing is noted: {exc}\n")
