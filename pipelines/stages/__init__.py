"""One file a DVC stage, of the same name; run_all runs them in order, rules_fallback is used where data are few.

No logic that a second caller needs: that belongs to the room it is about.
"""
