"""Questions after the fact: score change, one lead, two runs, champion beside challenger.

Publishes nothing and changes no model.
"""
