"""What the shape is: one file, one class, one yaml in conf/geometry/."""
