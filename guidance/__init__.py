"""What pulls on the render: one file, one class, one yaml in conf/guidance/."""
