"""CKKS for fixed circuits: parameters, plans, a compiler, and the runtime that executes plans.

Importing this package sets ``GOMP_SPINCOUNT``, unless the user has said how threads wait: between
two loops the threads of libgomp spin, and beside another busy process they spin away the very time
slices that the thread they wait for needs (a face takes seven times as long). After a short spin
they sleep. libgomp reads the variable once, when the extension loads it; so it is set here, before
any module of ours can load it. Child processes inherit it.
"""

import os

#: What a user sets to decide how threads wait (libgomp's manual, "Environment Variables").
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
#: Turns of the waiting loop before a thread sleeps: some microseconds, about as long as to wake it.
_SPINS = "2000"

if not any(name in os.environ for name in _WAITING):
    os.environ["GOMP_SPINCOUNT"] = _SPINS


def __getattr__(name: str) -> str:
    """``__version__`` of the installed distribution, looked up when it is asked for.

    Raises:
        PackageNotFoundError: the package is used without being installed.
    """
    if name == "__version__":
        from importlib.metadata import version

        return version("fhe-face")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
