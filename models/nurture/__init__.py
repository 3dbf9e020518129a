"""Leads that are not ready yet: when each is likely to be, the day to look again, and what leads like it do next.

No score, rank or tier is decided here, and nothing here is read when the model of conversions is trained.
"""
