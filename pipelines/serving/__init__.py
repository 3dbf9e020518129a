"""Leads scored at the moment they act: the HTTP server, its store of posted facts, the model that it follows or MLflow
serves, and who is told.

The clock is read at the door of the server alone; below it time is an argument. No stage, list or file of a run is
written here.
"""
