"""Features: pure functions from tables to numbers, on pandas and Ibis.

No files, no clock, no model; imports nothing of models/ or pipelines/.
"""
