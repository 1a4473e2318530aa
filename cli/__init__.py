"""The tasks of the command line, a file a group: each parses its options, calls one function, and ends with its exit code."""
