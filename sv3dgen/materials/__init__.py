"""From features and a normal to a color."""
