"""Looks at unknown files and proposes a `source`.

Decides nothing that `source` does not say afterwards, and writes nothing but the params file of `leadscore init`.
"""
