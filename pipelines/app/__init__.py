"""`leadscore app`: lists, lead pages, another capacity and the monitor in a browser; marimo, an extra, draws it.

Reads alone and listens on loopback; no figure is computed here that a command does not compute too.
"""
