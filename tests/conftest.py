"""What holds for all tests."""

import signal

from hypothesis import settings

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as it takes: on a busy machine a limit for each would fail tests that are right.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
