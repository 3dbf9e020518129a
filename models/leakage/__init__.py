"""Checks for leakage: does a field give the outcome away?

No change of data or model: a check names columns, with the figures that speak against them.
"""
