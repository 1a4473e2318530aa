"""The command line: every task of Compose Runbook."""

from invoke.tasks import task


@task
def lint(_context):
    """Check format, style, types and the import contract."""
