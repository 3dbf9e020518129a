"""What deals are worth: a model of deal values, expected revenue with intervals, and how leads are ranked by it.

No probability and no tier is computed here, and nothing here is read when the model of conversions is trained.
"""
