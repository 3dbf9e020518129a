"""Choosing settings on forward folds, searching them, and training the model that results.

No row of the test period, and no metric of a report.
"""
