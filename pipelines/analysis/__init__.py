"""Analyses after scoring: score change, one lead, two runs, champion and challenger.

Publishes nothing and changes no model.
"""
