"""Attributes as of a moment, and how they are encoded.

Nothing about events.
"""
