"""params.yaml and secrets, typed.

Nothing that reads data; every other room of pipelines/ may import this one.
"""
