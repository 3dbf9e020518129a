"""The command line and the reference pages made from it.

No logic: it reads the clock, the arguments and nothing else.
"""
