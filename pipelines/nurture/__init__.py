"""The list of leads that are not ready: made of the score list, of past lists and of the contract's events.

No chance is computed here; that is `models/nurture`. No ranking, score or tier is made or changed.
"""
