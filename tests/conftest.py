"""What holds for all tests."""

import gc
import signal

from hypothesis import settings

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as it takes: on a busy machine a limit for each would fail tests that are right.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# As the command line does (tasks.py), and for the same reason: looking for garbage was a fifth of the time of tests that plan.
gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish() -> None:
    """The thousands of tests that were collected stay until the end: they are not looked through for garbage any more."""
    gc.freeze()
