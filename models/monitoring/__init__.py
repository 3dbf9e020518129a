"""Whether inputs, scores or outcomes have moved since the reference lists.

No files and no clock: the lists and the day are arguments.
"""
