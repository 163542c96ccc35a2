"""Plane-sweep matching: at which of many planes a picture looks like its neighbors."""
