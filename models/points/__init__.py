"""The scale of the score, the groups that points are summed by, and grades.

No tier, and no probability that is not already log-odds.
"""
