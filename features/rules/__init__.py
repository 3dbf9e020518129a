"""The hand-written rules: their declarations, their conditions, and the log of points they give.

No scale, no tier and no probability: what is made of points is in models/scoring.
"""
