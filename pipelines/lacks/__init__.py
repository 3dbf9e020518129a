"""What a run lacks: parts of the data hidden one at a time, and kinds of data that the source does not have.

Nothing that scores is trained or changed here.
"""
