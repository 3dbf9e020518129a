"""A lead that wants to be forgotten leaves every store that this program writes.

No score is made here, and no id is written or logged.
"""
