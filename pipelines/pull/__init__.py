"""Tables of CRMs, read by their published APIs into a folder of files that `source` maps.

No meaning is given to a column here, and nothing is written to a CRM.
"""
