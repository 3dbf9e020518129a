"""Whether a challenger takes the champion's place, and how two runs compare.

No registry: what a decision does is in pipelines/registry.
"""
