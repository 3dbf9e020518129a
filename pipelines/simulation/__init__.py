"""The embedded default data: an imagined funnel whose truth is known.

Nothing that a stage for real data imports.
"""
