"""One file a DVC stage, of the same name; run_all runs them in order, rules_fallback where data are thin.

No logic that a second caller needs: that belongs to the room it is about.
"""
