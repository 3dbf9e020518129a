"""Lists for people who call, as files: one for each owner of leads, and whose list a lead was on.

No ranking, score or tier is made here: they are read from the score list.
"""
