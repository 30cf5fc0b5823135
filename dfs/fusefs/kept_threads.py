"""Python's own record of libfuse's threads, kept from call to call.

Python makes a record (thread state, stack, thread-locals) of a foreign thread when it calls in and throws it away when it leaves,
which costs a good third of a small operation. Here a thread is held on to at its first call, as PyGILState_Ensure without its
release would, and let go at its end by a destructor that the C library runs. Called by binding.py; knows nothing of FUSE.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Final

_LOCKED: Final = 0
"""PyGILState_LOCKED: the caller goes on holding the interpreter lock after the release."""


class KeptThreads:
    """Keeps the records of the threads that call it. Must outlive them."""

    def __init__(self) -> None:
        """The thread that makes this is Python's own and needs no keeping."""
        library = ctypes.PyDLL(None)
        self._ensure = library.PyGILState_Ensure
        self._release = library.PyGILState_Release
        # Not a pthread key: its destructor would run when Python's own key is cleared already.
        self._at_thread_end = library["__cxa_thread_atexit_impl"]
        self._at_thread_end.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self._destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._let_go)
        self._own = threading.get_ident()
        self._local = threading.local()

    def keep_caller(self) -> None:
        """Keep the record of the calling thread until the thread ends."""
        try:
            # Found at every call but a thread's first: only then were its thread-locals kept.
            self._local.is_kept  # noqa: B018
        except AttributeError:
            self._local.is_kept = True
            # The last argument names the library to keep loaded; any address but 0 will do.
            if threading.get_ident() != self._own and self._at_thread_end(self._destructor, None, self._destructor) == 0:
                self._ensure()

    def _let_go(self, argument: int | None) -> None:
        """Undo `_ensure`; Python throws the record away when this call leaves."""
        self._release(_LOCKED)
