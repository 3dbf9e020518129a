"""Where files lie and how they are written: layout, bundle, contract tables, locks, versions.

Nothing about what a file means for a user; imports no other room but config.
"""
