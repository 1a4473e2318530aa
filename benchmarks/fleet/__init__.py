"""The fleet benchmark: SSH hosts on loopback without Docker, and the same work on them by this tool and by others."""
