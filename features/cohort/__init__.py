"""Who is at risk at a moment, and what became of them: snapshots and labels.

No feature: a cohort is the same whatever is computed for it.
"""
