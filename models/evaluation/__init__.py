"""Figures of merit with intervals, by segment, and the verdict in words.

No training: it sees labels, probabilities and who a row is of.
"""
