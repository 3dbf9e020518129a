"""Pages, charts, tables and forms for people.

No figure is computed here: pages show what stages wrote.
"""
