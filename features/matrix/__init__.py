"""The catalogue of features, the feature matrix, and matrices of what was known earlier.

No label and no split: those are the cohort's and the models'.
"""
