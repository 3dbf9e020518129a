"""The user's files and tables, read and mapped to the contract; rejected rows with reasons.

No feature, and no guess: what a column means is declared in `source`.
"""
