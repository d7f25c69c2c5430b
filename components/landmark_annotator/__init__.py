"""Landmarks where a data set has none: dlib's 68 points become labels."""
