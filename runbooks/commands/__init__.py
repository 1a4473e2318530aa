"""What each task of the command line does, one function a task: they take options, speak to an Output, return the exit code."""
