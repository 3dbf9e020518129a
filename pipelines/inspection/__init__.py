"""Looks at unknown files and proposes a `source`.

Writes nothing, and decides nothing that `source` does not say afterwards.
"""
