"""Faces in photographs: found by dlib, and brought to the frame that a model was trained in."""
