"""MLflow's registry: versions, aliases, promotion and rollback, and the model as MLflow serves it.

No other room but stages/track talks to MLflow.
"""
