"""The event log as features read it: derived columns, definitions, and one aggregation for every engine.

Nothing about attributes, and no engine by name: it is one Ibis expression.
"""
