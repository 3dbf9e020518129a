"""The embedded default data: a simulated funnel whose truth is known.

Nothing that a stage for real data imports.
"""
