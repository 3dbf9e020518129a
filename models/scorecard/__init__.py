"""The learned scorecard: few whole points that can be typed into a CRM.

No hand-written rule (features/rules), and no page (pipelines/reporting).
"""
