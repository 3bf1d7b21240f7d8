"""From raw scores to findings: calibration, event extraction, places, pictures and facts, one module per kind of data."""
