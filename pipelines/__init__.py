"""Pipelines: the doors to files, databases, MLflow, the clock and the command line.

No figure is computed here that features/ or models/ could compute.
"""
