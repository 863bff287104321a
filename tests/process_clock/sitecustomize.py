"""Moves the clock of a Python process that has this folder on its PYTHONPATH to PROCESS_CLOCK (ISO 8601), or at any
moment by as many seconds as the file PROCESS_CLOCK_SHIFT says.

What the C library or SQLite asks for stays real; our own code has only what is moved here.
"""

import ctypes
import datetime
import gc
import os
import pathlib
import time

_real, _real_ns, _localtime, _gmtime = time.time, time.time_ns, time.localtime, time.gmtime

_moved_to, _file = os.environ.get("PROCESS_CLOCK"), os.environ.get("PROCESS_CLOCK_SHIFT")
_shift_at_start = datetime.datetime.fromisoformat(_moved_to).timestamp() - _real() if _moved_to else 0.0


def _shift():
    if _file:
        return float(pathlib.Path(_file).read_text() or 0)
    return _shift_at_start


if _moved_to or _file:
    time.time = lambda: _real() + _shift()
    time.time_ns = lambda: _real_ns() + int(_shift() * 1e9)
    time.localtime = lambda seconds=None: _localtime(time.time() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: _gmtime(time.time() if seconds is None else seconds)

    # In the types themselves: a subclass in their place would not be what others take for a datetime.
    for kind, name, method in (
        (datetime.datetime, "now", lambda cls, tz=None: cls.fromtimestamp(time.time(), tz)),
        (
            datetime.datetime,
            "utcnow",
            lambda cls: cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None),
        ),
        (datetime.datetime, "today", lambda cls: cls.fromtimestamp(time.time())),
        (datetime.date, "today", lambda cls: cls.fromtimestamp(time.time())),
    ):
        gc.get_referents(kind.__dict__)[0][name] = classmethod(method)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
