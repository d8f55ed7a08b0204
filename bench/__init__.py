"""Measured comparisons. They print figures and never assert on time."""
