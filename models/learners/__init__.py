"""What learns from rows: gradient boosting, tree SHAP, logistic regression, encodings, calibration.

No choice between candidates (training does that), and no catalogue.
"""
