"""What makes views of an object, and how good they are."""
