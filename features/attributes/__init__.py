"""Attributes as of a moment, how they are encoded, and which leads may be one by them.

Nothing about events.
"""
