"""What holds for all tests."""

from hypothesis import settings

# An example may take as long as it takes: on a busy machine a limit for each would fail tests that are right.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
