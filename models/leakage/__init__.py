"""Checks that look for what gives the outcome away.

No change of data or model: a check names a column and says how it is told.
"""
