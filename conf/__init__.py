"""Configuration and the command line: the one place where everything is put together.

Nothing is imported here: `storagebus --help` must not pay for the broker.
"""
