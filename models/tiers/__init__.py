"""From scores to a list: assignment, capacity, exploration, certified rates, contact weights.

No feature and no training; a tier is decided by scores, ranks and rules.
"""
