"""What a scheduler calls: the nightly job, published lists, feed checks, monitor, retrain.

Nothing a person must answer, and no clock below the command line.
"""
