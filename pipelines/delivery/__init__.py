"""Scores handed on to databases and CRMs, safe to repeat and to kill.

No score is made or changed here.
"""
