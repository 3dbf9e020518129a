"""Scores of one day: the population, shards, tiers from history, the list, the rules' own list.

No published folder (pipelines/scheduled), and no training.
"""
