"""What is learned from rows: network, scaling, calibration, envelope, thresholds; and how well that repeats."""
