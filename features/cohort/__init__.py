"""Who is at risk at a moment, and their outcomes: snapshots and labels.

No feature: a cohort is the same whatever is computed for it.
"""
