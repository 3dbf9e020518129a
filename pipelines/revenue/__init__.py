"""Money: deal values learned from the contract's won deals, for the leads of a list and for lists of the past.

No probability, score or model is made here.
"""
