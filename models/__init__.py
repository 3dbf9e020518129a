"""Models: pure functions from a feature matrix to scores, tiers, reasons and figures.

No files, no clock, no MLflow; imports features/, and nothing of pipelines/.
"""
