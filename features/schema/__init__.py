"""The tables of the contract, what a source declares of its columns, the vocabulary of events, and errors.

No computation of a feature: every other room imports this one, and it imports none.
"""
