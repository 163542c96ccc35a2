"""From a geometry, a material and cameras to pictures."""
