"""The commands of `alrp`, one in a file: `add` declares its arguments, `run` does the work and returns the exit code.

`alrp --help` imports all of them, so each imports what it needs when it runs.
"""
