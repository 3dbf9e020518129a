"""One lead's probability, score and reasons: the model, the rules and the baselines.

No list: what depends on other leads is in models/tiers.
"""
