"""How rows are divided by time: holdout with an embargo, forward folds, walk-forward cuts.

No learner: a split is decided before anything is trained.
"""
